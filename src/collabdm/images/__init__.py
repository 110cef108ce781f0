"""The first modality: images, their pixels, augmentation, tiles, and the files they are kept in."""
