"""All checks of a model: which clouds they are tried on, in which order, what is known of them."""

from equivariance_tests.certification.certification import (
    Certification,
    certify,
    name_of,
)
from equivariance_tests.certification.options import OF_CERTIFICATIONS, refuse_unknown

__all__ = ["OF_CERTIFICATIONS", "Certification", "certify", "name_of", "refuse_unknown"]
