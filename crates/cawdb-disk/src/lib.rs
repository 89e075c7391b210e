//! Bytes on a disk: extents, checksums, superblocks, the journal ring, free space.
