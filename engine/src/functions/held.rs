//! Memory that is reserved as long as a result lives.

use std::sync::Arc;

use arrow::array::{ArrayData, ArrayRef, make_array};
use arrow::buffer::Buffer;
use bytes::Bytes;
use datafusion::common::Result;
use datafusion::execution::memory_pool::MemoryReservation;

/// Smaller buffers are not worth a count.
const COUNTED: usize = 4096;

/// A buffer, and the reservation for its memory.
struct HeldBuffer {
    buffer: Buffer,
    _reservation: Arc<MemoryReservation>,
}

impl AsRef<[u8]> for HeldBuffer {
    fn as_ref(&self) -> &[u8] {
        self.buffer.as_slice()
    }
}

/// Returns the same array, whose last buffer frees the reservation.
pub(super) fn held(array: &ArrayRef, reservation: MemoryReservation) -> Result<ArrayRef> {
    Ok(make_array(held_data(array.to_data(), &Arc::new(reservation))?))
}

fn held_data(data: ArrayData, reservation: &Arc<MemoryReservation>) -> Result<ArrayData> {
    let held = |buffer: &Buffer| match buffer.len() < COUNTED {
        true => buffer.clone(),
        false => {
            Buffer::from(Bytes::from_owner(HeldBuffer { buffer: buffer.clone(), _reservation: reservation.clone() }))
        }
    };
    let buffers = data.buffers().iter().map(held).collect();
    let children = data.child_data().iter().map(|child| held_data(child.clone(), reservation));
    let children = children.collect::<Result<Vec<_>>>()?;
    Ok(data.into_builder().buffers(buffers).child_data(children).build()?)
}
