"""Certification of equivariance and smoothness for any model on point clouds.

Nothing is here yet but the name. The laws that this package will check for any model are checked
for this library itself in its ``tests`` folder.
"""
