"""Write the challenge's background response that comes with the package (a minute on two quiet cores).

python benchmarks/make_background.py
"""

from jax_inversion import backgrounds, physics
from jax_inversion.survey import CHALLENGE, CHALLENGE_RUN

if __name__ == "__main__":
    run = CHALLENGE, CHALLENGE.v_min_km_s, CHALLENGE_RUN, False
    backgrounds.write(backgrounds.SHIPPED, physics.background_fingerprint(*run), physics.background_spectra(*run))
