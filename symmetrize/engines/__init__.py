"""Engines of simulations that do not speak ase, one a file; they need the extra ``engines``.

OpenMM, i-PI and phonopy take ``SymmetrizedCalculator``: see the page on simulations.
"""
