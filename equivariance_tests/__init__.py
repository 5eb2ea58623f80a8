"""Certification of equivariance and smoothness for any model on point clouds.

So far ``equivariance_tests.scan``, which finds the places where a function along a path breaks, and
in which derivative. The laws that this package will check for any model are checked for this
library itself in its ``tests`` folder.
"""
