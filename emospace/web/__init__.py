"""The web page: a portrait, speech and an emotion in the browser, the talking face beside its driven 3D face."""
