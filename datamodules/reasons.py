"""Why a clip is left out of a store: reason codes and their meaning. Nothing is dropped without one."""

REASONS = {
    "unknown_name": "no parser finds actor, emotion and level in the path",
    "duplicate": "another file has the same actor, view, emotion, level and number",
    "no_video": "a sound file without a picture of the same clip",
    "no_file": "a manifest lists a file that is not there",
    "bad_range": "the part that a manifest names reaches beyond the end of the film",
    "empty_file": "the file has no bytes",
    "unreadable": "the file cannot be decoded",
    "truncated": "the file ends before the frames its header promises",
    "broken_timestamps": "the frames' times jump by more than the longest gap that is bridged",
    "too_short": "fewer frames than the shortest usable clip",
    "too_long": "longer than the longest clip that is read",
    "empty_audio": "the audio has no samples",
    "no_audio_stream": "the sound file has no sound stream",
    "no_face": "no face is found",
    "face_lost": "the face is lost for too much of the clip",
    "two_faces": "a second face of like size is in the picture",
    "bad_coefficients": "the coefficient file cannot be read, has other shapes or values that are not finite",
    "coefficients_mismatch": "the coefficient file has rows for another number of frames",
    "no_coefficients": "no coefficient file lies beside the clip",
    "timed_out": "preparation took longer than the time allowed to one clip",
    "crashed": "the process that prepared this clip died",
    "failed": "an error of the preparation itself, which is worth a report",
}

FAILURES = ("timed_out", "crashed", "failed")
"""Reasons that may lie in the machine (too busy, out of memory) or in this program, and not in the clip."""
