//! What a record does to the bytes of a value.

use xxhash_rust::xxh3::xxh3_128;

use super::apply::{Fault, FileId, Files, Record, damaged, inconsistent};
use super::chunks::Chunk;
use super::snapshots::Old;
use super::staged::Staged;
use super::table::{Partial, Value, Values};
use crate::wire::state::{CHUNK, Extent, chunk_hash};

/// Most chunks that are kept for readers when a value is cut off.
const MAX_CUT: usize = 1 << 14;
const LEN: usize = CHUNK as usize;

impl Values {
    /// Writes the next piece of what was staged, or all of it where nothing need be copied; whether
    /// that was the last.
    pub(super) fn push_staged(
        &mut self,
        record: &Record<'_>,
        value: &mut Value,
        begun: &mut Partial,
        files: &mut dyn Files,
    ) -> Result<bool, Fault> {
        let file = FileId::Value(value.file);
        let Some(mut staged) = self.staged.remove(&begun.id) else {
            return Err(inconsistent(record, "staged bytes are missing"));
        };
        let written = self.next_piece(record, value, (&mut staged, begun), (file, files));
        self.staged.insert(begun.id, staged);
        written
    }

    fn next_piece(
        &mut self,
        record: &Record<'_>,
        value: &mut Value,
        (staged, begun): (&mut Staged, &mut Partial),
        (file, files): (FileId, &mut dyn Files),
    ) -> Result<bool, Fault> {
        let new = value.file == record.seq && value.chunks.count() == 0;
        if new && let Some(chunks) = staged.give((file, record.seq), files)? {
            value.chunks = chunks;
            let end = staged.reach();
            begun.parts.extend((end % CHUNK > 0).then_some((end / CHUNK, 0)));
            return Ok(true);
        }
        let Some(piece) = staged.pieces().get(begun.pieces) else { return Ok(true) };
        let bytes = staged.read(piece, files)?;
        if xxh3_128(&bytes) != piece.hash {
            // The file is that of the value already if it was given before a crash, and later
            // records may have written there: they are done again.
            let given = record.lenient && files.same(FileId::Stage(staged.file), file);
            if !given {
                return Err(damaged(record.key, "its staged bytes"));
            }
        }
        begun.parts.extend(self.extents(record, value, (&piece.extents, &bytes), files)?);
        begun.pieces += 1;
        Ok(begun.pieces >= staged.pieces().len())
    }

    /// Writes bytes, one extent after the other. Tells which chunks were written in part.
    pub(super) fn extents(
        &mut self,
        record: &Record<'_>,
        value: &mut Value,
        (extents, bytes): (&[Extent], &[u8]),
        files: &mut dyn Files,
    ) -> Result<Vec<(u64, u128)>, Fault> {
        let (mut rest, mut parts) = (bytes, Vec::new());
        for extent in extents {
            let len = usize::try_from(extent.len).unwrap_or(usize::MAX);
            let (mine, behind) = rest
                .split_at_checked(len)
                .ok_or_else(|| inconsistent(record, "it has too few bytes"))?;
            rest = behind;
            let (mut off, mut left) = (extent.off, mine);
            while !left.is_empty() {
                let within = (off % CHUNK) as usize;
                let (piece, next) = left.split_at(left.len().min(LEN - within));
                let chunk = off / CHUNK;
                let hash = self.chunk(record, value, (off, piece), files)?;
                if piece.len() < LEN {
                    parts.push((chunk, hash));
                }
                off += piece.len() as u64;
                left = next;
            }
            if !mine.is_empty() {
                files.write(FileId::Value(value.file), extent.off, mine)?;
            }
        }
        Ok(parts)
    }

    /// Notes what a chunk will hold, and keeps what it held for readers.
    fn chunk(
        &mut self,
        record: &Record<'_>,
        value: &mut Value,
        (off, piece): (u64, &[u8]),
        files: &mut dyn Files,
    ) -> Result<u128, Fault> {
        let (chunk, within) = (off / CHUNK, (off % CHUNK) as usize);
        let old = value.chunks.get(chunk);
        let first = old.is_none_or(|old| old.seq < record.seq);
        let wants = first && self.snapshots.wants(record.key);
        let mut whole = [0; LEN];
        // A record may touch a chunk twice; the first time its hash tells whether it is intact.
        if old.is_some() && (piece.len() < LEN || wants) {
            files.read(FileId::Value(value.file), chunk * CHUNK, &mut whole)?;
            let intact = old.is_some_and(|old| chunk_hash(&whole) == old.hash);
            if !intact && !record.lenient {
                return Err(damaged(record.key, "a chunk"));
            }
        }
        if wants {
            self.keep_old(record, value, chunk, &whole, files);
        }
        if let Some(place) = whole.get_mut(within..within + piece.len()) {
            place.copy_from_slice(piece);
        }
        if old.is_none() && piece.len() < LEN {
            // The file may hold what nobody knows of: of a life before, or of a later record.
            files.write(FileId::Value(value.file), chunk * CHUNK, &whole)?;
        }
        let hash = chunk_hash(&whole);
        value.chunks.set(chunk, Chunk { seq: record.seq, hash });
        Ok(hash)
    }

    fn keep_old(
        &mut self,
        record: &Record<'_>,
        value: &Value,
        chunk: u64,
        bytes: &[u8],
        files: &dyn Files,
    ) {
        let there = value.chunks.get(chunk);
        let kept = match there {
            None => None,
            Some(_) => match files.keep(bytes) {
                Some(kept) => Some(kept),
                None => return self.snapshots.give_up(record.key),
            },
        };
        let old = Old { until: record.seq, kept, hash: there.map_or(0, |chunk| chunk.hash) };
        self.snapshots.keep(record.key, value.file, chunk, old);
    }

    pub(super) fn shrink(
        &mut self,
        record: &Record<'_>,
        value: &mut Value,
        len: u64,
        files: &mut dyn Files,
    ) -> Result<(), Fault> {
        let file = FileId::Value(value.file);
        let first = len.div_ceil(CHUNK);
        if self.snapshots.wants(record.key) {
            let gone: Vec<_> = value.chunks.iter_from(first).take(MAX_CUT + 1).collect();
            if gone.len() > MAX_CUT {
                self.snapshots.give_up(record.key);
            }
            for (chunk, _) in gone {
                let mut bytes = [0; LEN];
                files.read(file, chunk * CHUNK, &mut bytes)?;
                self.keep_old(record, value, chunk, &bytes, files);
            }
        }
        let within = (len % CHUNK) as usize;
        if within > 0 && value.chunks.get(len / CHUNK).is_some() {
            let zeros = [0; LEN];
            let piece = zeros.get(within..).unwrap_or_default();
            self.chunk(record, value, (len, piece), files)?;
        }
        value.chunks.cut_from(first, record.seq);
        files.cut(file, len)
    }
}
