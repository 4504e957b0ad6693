"""Samples in and out: the challenge's folders, the packed store, preprocessing, augmentation and the loader."""
