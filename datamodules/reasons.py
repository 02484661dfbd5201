"""Why a clip is left out of a store: reason codes and their meaning. Nothing is dropped without one."""

REASONS = {
    "unknown_name": "no parser finds actor, emotion and level in the path",
    "duplicate": "another file has the same actor, view, emotion, level and number",
    "no_video": "an audio file without a video of the same clip",
    "no_file": "a manifest lists a file that is not there",
    "bad_range": "the part that a manifest names reaches beyond the end of the video",
    "empty_file": "the file has no bytes",
    "unreadable": "the file cannot be decoded",
    "truncated": "the file ends before the number of frames in its header",
    "broken_timestamps": "the frames' time stamps have a gap that is too long to fill",
    "too_short": "fewer frames than the shortest usable clip",
    "too_long": "longer than the longest clip that is read",
    "empty_audio": "the audio has no samples",
    "no_audio_stream": "the audio file has no audio stream",
    "no_face": "no face is found",
    "face_lost": "the face is lost for too much of the clip",
    "two_faces": "a second face of similar size is in the image",
    "bad_coefficients": "the coefficient file cannot be read, has other shapes or values that are not finite",
    "coefficients_mismatch": "the coefficient file has rows for another number of frames",
    "no_coefficients": "no coefficient file lies beside the clip",
    "timed_out": "preparation took longer than the time allowed to one clip",
    "crashed": "the process that prepared this clip died",
    "failed": "an internal error of the preparation; please report it",
}

FAILURES = ("timed_out", "crashed", "failed")
"""Reasons that may lie in the machine (too busy, out of memory) or in this program, and not in the clip."""
