//! Values that point to others: the offsets of strings and lists, and views of strings.

use arrow::array::ByteView;

/// The number of bytes that a view has in itself (Arrow's format, "Variable-size Binary View Layout").
const INLINE: u32 = 12;

/// True if the offsets of `rows` values, of `width` bytes each, begin at 0 or later, do not decrease, and end at `end` or
/// before.
pub(super) fn are_in_order(offsets: &[u8], width: i64, rows: usize, end: i64) -> bool {
    match width {
        4 => ascend(offsets.as_chunks::<4>().0.iter().map(|o| i64::from(i32::from_le_bytes(*o))), rows, end),
        _ => ascend(offsets.as_chunks::<8>().0.iter().map(|o| i64::from_le_bytes(*o)), rows, end),
    }
}

fn ascend(offsets: impl Iterator<Item = i64>, rows: usize, end: i64) -> bool {
    let ends = offsets.take(rows.saturating_add(1));
    // Without a branch for each value, this is fast.
    let (last, ascends) = ends.fold((0, true), |(last, ascends), next| (next, ascends & (next >= last)));
    ascends && last <= end
}

/// True if each of `rows` views has its bytes in itself, or in one of the buffers with these places and sizes.
pub(super) fn are_inside(views: &[u8], rows: usize, buffers: &[(i64, i64)]) -> bool {
    views.as_chunks::<16>().0.iter().take(rows).all(|view| {
        let ByteView { length, buffer_index, offset, .. } = u128::from_le_bytes(*view).into();
        let end = i64::from(offset) + i64::from(length);
        length <= INLINE || buffers.get(buffer_index as usize).is_some_and(|(_, size)| end <= *size)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_ascend_up_to_the_end() {
        for (offsets, is_right) in [
            (vec![], true),
            (vec![0], true),
            (vec![0, 2, 2, 5], true),
            (vec![1, 2], true),
            (vec![0, 2, 1, 5], false),
            (vec![-1, 2], false),
            (vec![0, 2, 6], false),
            (vec![0, 6, 5], false),
        ] {
            let rows = offsets.len().saturating_sub(1);
            let narrow: Vec<u8> = offsets.iter().flat_map(|o: &i32| o.to_le_bytes()).collect();
            let wide: Vec<u8> = offsets.iter().flat_map(|o| i64::from(*o).to_le_bytes()).collect();
            assert_eq!(are_in_order(&narrow, 4, rows, 5), is_right, "{offsets:?}");
            assert_eq!(are_in_order(&wide, 8, rows, 5), is_right, "{offsets:?}");
        }
        // What stands behind the last value is no offset.
        assert!(are_in_order(&[0, 0, 0, 0, 5, 0, 0, 0, 1, 0, 0, 0], 4, 1, 5));
    }

    #[test]
    fn views_point_into_their_buffers() {
        let buffers = [(0, 20), (24, 40)];
        for (length, buffer_index, offset, is_right) in [
            (12, 9, 9, true),
            (13, 0, 7, true),
            (13, 0, 8, false),
            (13, 1, 27, true),
            (13, 2, 0, false),
            (u32::MAX, 1, u32::MAX, false),
        ] {
            let view = ByteView { length, prefix: 0, buffer_index, offset };
            let views = [0, view.as_u128()].map(u128::to_le_bytes).concat();
            assert_eq!(are_inside(&views, 2, &buffers), is_right, "{view:?}");
            assert!(are_inside(&views, 1, &buffers), "only the first one counts");
        }
    }
}
