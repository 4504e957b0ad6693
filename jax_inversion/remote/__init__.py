"""What ``modal_jobs.py`` needs: machines and prices, the volume, the stages as plain functions, how errors end."""
