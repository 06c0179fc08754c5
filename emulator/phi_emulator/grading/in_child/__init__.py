"""What runs inside of the judged program. Its folder is put first on that program's PYTHONPATH."""
