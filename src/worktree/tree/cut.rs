//! Where nodes end.

use crate::base::limits::NODE_FANOUT_LOG2;

/// Tells whether an item with this key ends a node of this height, by its key alone.
///
/// The key is hashed with 64-bit FNV-1a, whose bits are then mixed by the finalizer of
/// MurmurHash3 since FNV leaves the low ones weak in short keys. A run of `3 * (height + 1)` low
/// zero bits ends the node, so that one item in 8 ends a leaf and one leaf in 8 the node above.
pub(super) fn ends_node(key: &[u8], height: u8) -> bool {
    level(key) > u32::from(height)
}

fn level(key: &[u8]) -> u32 {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    for byte in key {
        hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    hash ^= hash >> 33;
    hash = hash.wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash ^= hash >> 33;
    hash = hash.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^= hash >> 33;
    hash.trailing_zeros() / NODE_FANOUT_LOG2
}

#[cfg(test)]
mod tests {
    use super::ends_node;

    #[test]
    fn one_key_in_eight_ends_a_node_of_each_height() {
        let ends = |height| {
            (0..65_536u32).filter(|i| ends_node(format!("f{i}").as_bytes(), height)).count()
        };
        assert!((7800..8600).contains(&ends(0)), "{}", ends(0));
        assert!((900..1150).contains(&ends(1)), "{}", ends(1));
    }
}
