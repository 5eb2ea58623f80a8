"""All checks of a model: which clouds they are tried on, in which order, what is known of them."""

from equivariance_tests.certification.certification import (
    Certification,
    certify,
    name_of,
)

__all__ = ["Certification", "certify", "name_of"]
