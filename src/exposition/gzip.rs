//! One gzip member from separately compressed blocks: each block is raw deflate ended by a full flush, so that blocks
//! can be joined in any order, and their checksums combine without reading the text again.

use flate2::{Compress, Compression, Crc, FlushCompress, Status};
use parking_lot::Mutex;

/// A compressed piece of text.
#[derive(Debug)]
pub(super) struct DeflatedBlock {
    /// Raw deflate up to a full flush.
    pub(super) bytes: Vec<u8>,
    /// Checksum and length of the text.
    pub(super) crc: Crc,
}

/// Header of ten bytes: deflate, no name, no time, unknown system.
pub(super) const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];

/// Fast compression level: numbers and labels compress well at any.
const LEVEL: u32 = 2;

/// Idle compressors. Each uses a quarter of a MiB, which would otherwise be allocated and freed for each block.
static AT_REST: Mutex<Vec<Compress>> = Mutex::new(Vec::new());
/// Maximum number of idle compressors: as many as usually work at the same time.
const MAX_AT_REST: usize = 4;

/// Compresses a block; `None` if zlib fails, which only happens when it is out of memory.
pub(super) fn deflate(text: &[u8]) -> Option<DeflatedBlock> {
    let at_rest = AT_REST.lock().pop();
    let mut compress = at_rest.unwrap_or_else(|| Compress::new(Compression::new(LEVEL), false));
    compress.reset();
    let deflated = deflate_by(&mut compress, text);
    let mut at_rest = AT_REST.lock();
    if at_rest.len() < MAX_AT_REST {
        at_rest.push(compress);
    }
    deflated
}

fn deflate_by(compress: &mut Compress, text: &[u8]) -> Option<DeflatedBlock> {
    let mut crc = Crc::new();
    crc.update(text);
    let mut bytes = Vec::with_capacity(text.len() / 8 + 64);
    loop {
        let done = usize::try_from(compress.total_in()).ok()?;
        let status = compress.compress_vec(&text[done..], &mut bytes, FlushCompress::Full).ok()?;
        let all_read = usize::try_from(compress.total_in()).ok()? == text.len();
        // Spare room after a call means that everything was flushed.
        if all_read && bytes.len() < bytes.capacity() {
            bytes.shrink_to_fit();
            return Some(DeflatedBlock { bytes, crc });
        }
        if status == Status::BufError && bytes.len() < bytes.capacity() {
            return None;
        }
        bytes.reserve(bytes.capacity().max(64));
    }
}

/// Returns the bytes after the blocks: a final empty block, the combined checksum, the length.
pub(super) fn trailer(crc: &Crc) -> [u8; 10] {
    let [a, b, c, d] = crc.sum().to_le_bytes();
    let [e, f, g, h] = crc.amount().to_le_bytes();
    [0x03, 0x00, a, b, c, d, e, f, g, h]
}

/// Decompresses the text of a block.
pub(super) fn inflate(block: &DeflatedBlock) -> Option<Vec<u8>> {
    let mut text = Vec::with_capacity(block.crc.amount() as usize + 1);
    let mut decompress = flate2::Decompress::new(false);
    decompress.decompress_vec(&block.bytes, &mut text, flate2::FlushDecompress::Sync).ok()?;
    (text.len() == block.crc.amount() as usize).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::Read;

    proptest! {
        #[test]
        fn blocks_join_into_one_member(blocks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..5000), 0..6)) {
            let mut member = HEADER.to_vec();
            let mut crc = Crc::new();
            for block in &blocks {
                let deflated = deflate(block).unwrap();
                prop_assert_eq!(&inflate(&deflated).unwrap(), block);
                member.extend(&deflated.bytes);
                crc.combine(&deflated.crc);
            }
            member.extend(trailer(&crc));
            let mut text = Vec::new();
            // A GzDecoder reads exactly one member and checks its trailer.
            flate2::read::GzDecoder::new(member.as_slice()).read_to_end(&mut text).unwrap();
            prop_assert_eq!(text, blocks.concat());
        }
    }

    #[test]
    fn compresses_far_more_than_fits_a_first_guess() {
        let noise: Vec<u8> = (0..1_000_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        assert_eq!(inflate(&deflate(&noise).unwrap()).unwrap(), noise);
    }
}
