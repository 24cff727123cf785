//! Damage to bytes: what a broken or hostile client makes of a good message.

use bytes::Bytes;
use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;

/// Numbers at which sizes, counts and offsets break.
const NUMBERS: [i64; 12] =
    [0, 1, -1, 7, 127, 255, 1 << 16, i32::MAX as i64, i32::MIN as i64, 1 << 40, i64::MAX, i64::MIN];

/// The bytes with a few faults.
pub(super) fn damaged(random: &mut StdRng, bytes: &Bytes) -> Bytes {
    let mut bytes = bytes.to_vec();
    for _ in 0..random.random_range(1..5) {
        damage(random, &mut bytes);
    }
    bytes.into()
}

fn damage(random: &mut StdRng, bytes: &mut Vec<u8>) {
    if bytes.is_empty() {
        bytes.push(random.random());
        return;
    }
    let at = random.random_range(0..bytes.len());
    let upto = random.random_range(at..bytes.len().min(at + 64));
    match random.random_range(0..9) {
        0 => bytes.truncate(at),
        1 => bytes[at] ^= 1 << random.random_range(0..8),
        2 => bytes[at] = random.random(),
        3 => overwrite(bytes, at, &NUMBERS.choose(random).unwrap().to_le_bytes()),
        // Where flatbuffers have their numbers.
        4 => overwrite(bytes, at & !7, &NUMBERS.choose(random).unwrap().to_le_bytes()),
        5 => overwrite(bytes, at & !3, &(*NUMBERS.choose(random).unwrap() as i32).to_le_bytes()),
        6 => drop(bytes.drain(at..upto)),
        7 => {
            let piece = bytes[at..upto].to_vec();
            let to = random.random_range(0..=bytes.len());
            bytes.splice(to..to, piece);
        }
        // The length before a field, as protobuf writes it: more than there is.
        _ => overwrite(bytes, at, &[0xff, 0xff, 0xff, 0xff, 0x0f]),
    }
}

fn overwrite(bytes: &mut [u8], at: usize, with: &[u8]) {
    for (to, from) in bytes[at..].iter_mut().zip(with) {
        *to = *from;
    }
}

/// Text with characters and words taken out, put in and doubled.
pub(super) fn damaged_text(random: &mut StdRng, text: &str, words: &[&str]) -> String {
    let mut parts: Vec<String> = text.split_inclusive([' ', '(', ')', ',', '\'']).map(str::to_owned).collect();
    for _ in 0..random.random_range(1..4) {
        let at = random.random_range(0..=parts.len());
        match random.random_range(0..5) {
            0 if at < parts.len() => drop(parts.remove(at)),
            1 if at < parts.len() => {
                let copy = parts[at].clone();
                parts.insert(random.random_range(0..=parts.len()), copy);
            }
            2 => {
                let other = random.random_range(0..=parts.len());
                if at < parts.len() && other < parts.len() {
                    parts.swap(at, other);
                }
            }
            3 => parts.insert(
                at,
                ["\0", "\u{202e}", "''", "\"", "/*", "--", "$", "?", ";", "\\"].choose(random).unwrap().to_string(),
            ),
            _ => parts.insert(at, format!(" {} ", words.choose(random).unwrap())),
        }
    }
    parts.concat()
}
