"""What ``modal_jobs.py`` needs beside Modal itself: machines and prices, the volume, the stages as plain functions."""
