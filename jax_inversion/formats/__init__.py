"""Other people's files: OpenFWI shards, SEG-Y, HDF5 and .npz, read into samples and written from them.

Each reader gives a ``Shipment``; what becomes of its samples is the business of whoever asked for it.
"""
