"""The board without a board: wheels for 64-bit Pi OS, and Earmark run from them under emulated Pi processors.

python -m benchmarks.arm64.wheelhouse --out wheelhouse    # what a Pi installs from, no compiler needed there
python -m benchmarks.arm64                                # install it in an emulated Debian and compare with x86
"""
