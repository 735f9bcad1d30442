//! Bytes that are held back for a push. Pieces that begin with a chunk and meet no other lie in a
//! file at the places that they have in the value: when all do, that file becomes the value's, and
//! nothing need be copied. The others are packed into a second file.

use super::apply::{Fault, FileId, Files};
use super::chunks::{Chunk, Chunks};
use crate::wire::consensus::SessionId;
use crate::wire::shards::StateKey;
use crate::wire::state::{CHUNK, Extent, MAX_PIECE, chunk_hash};

/// Most extents of a piece that lies where it belongs: each is a write.
const MAX_PLACED: usize = 8;
const LEN: usize = CHUNK as usize;

/// Names staged bytes.
pub type StageId = (SessionId, u64);

/// Bytes held back for a push.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Staged {
    /// For this value.
    pub key: StateKey,
    /// Names their files: the record that began it.
    pub file: u64,
    /// When the last of them came, on this node's clock, in milliseconds.
    pub since: u64,
    pieces: Vec<Piece>,
    bytes: u64,
    reach: u64,
    /// Of the pieces that lie where they belong.
    chunks: Chunks,
    /// All pieces lie so, and the hashes of their chunks are known.
    whole: bool,
}

/// What came with one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// Where they belong.
    pub extents: Vec<Extent>,
    /// Of all its bytes.
    pub hash: u128,
    /// Where it begins in the file of packed pieces, if it is there.
    packed: Option<u64>,
}

impl Piece {
    /// Its bytes.
    pub fn bytes(&self) -> u64 {
        self.extents.iter().map(|extent| extent.len).sum()
    }
}

impl Staged {
    /// Nothing yet, for this value.
    pub fn new(key: StateKey, file: u64, since: u64) -> Self {
        let (pieces, chunks) = (Vec::new(), Chunks::new(0));
        Self { key, file, since, pieces, bytes: 0, reach: 0, chunks, whole: true }
    }

    /// What they are, in the order in which they came.
    pub fn pieces(&self) -> &[Piece] {
        &self.pieces
    }

    /// All its bytes.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The end of the last byte in the value.
    pub fn reach(&self) -> u64 {
        self.reach
    }

    /// Whether its file can be that of a value.
    pub fn is_whole(&self) -> bool {
        self.whole
    }

    /// Adds a piece that is in the files already.
    pub fn add_known(&mut self, extents: Vec<Extent>, hash: u128) {
        self.add(extents, hash, None);
    }

    fn add(&mut self, extents: Vec<Extent>, hash: u128, bytes: Option<&[u8]>) {
        let placed = self.fits(&extents);
        let packed = (!placed).then_some(self.bytes);
        self.whole &= placed && bytes.is_some();
        let mut rest = bytes.unwrap_or_default();
        for extent in &extents {
            let len = usize::try_from(extent.len).unwrap_or(usize::MAX).min(rest.len());
            let (mine, behind) = rest.split_at(len);
            rest = behind;
            self.bytes = self.bytes.saturating_add(extent.len);
            self.reach = self.reach.max(extent.end().unwrap_or(u64::MAX));
            if placed {
                let mut chunks = mine.chunks(LEN);
                let first = extent.off / CHUNK;
                for chunk in first..first + extent.len.div_ceil(CHUNK) {
                    let hash = chunks.next().map_or(0, chunk_hash);
                    self.chunks.set(chunk, Chunk { seq: 1, hash });
                }
            }
        }
        self.pieces.push(Piece { extents, hash, packed });
    }

    /// Whether a piece can lie where it belongs. The same on all copies: it depends on nothing but
    /// the pieces before.
    fn fits(&self, extents: &[Extent]) -> bool {
        let mut end = 0;
        extents.len() <= MAX_PLACED
            && extents.iter().all(|extent| {
                let Some(stop) = extent.end() else { return false };
                let (first, last) = (extent.off / CHUNK, stop.div_ceil(CHUNK));
                let free = extent.off % CHUNK == 0
                    && first >= end
                    && (first..last).all(|chunk| self.chunks.get(chunk).is_none());
                end = last;
                free
            })
    }

    /// Adds a piece and writes it; one that was added before is written again, since its bytes may
    /// not be on disk. `at`: bytes of those before it.
    pub(super) fn write(
        &mut self,
        (at, extents): (u64, &[Extent]),
        (hash, bytes): (u128, &[u8]),
        files: &mut dyn Files,
    ) -> Result<(), Fault> {
        if at == self.bytes {
            self.add(extents.to_vec(), hash, Some(bytes));
        }
        let last = self.pieces.last().map_or(0, Piece::bytes);
        let mut before = self.bytes - last;
        if let Some(piece) = self.pieces.last().filter(|_| before == at) {
            return self.put(piece, bytes, files);
        }
        before = 0;
        for piece in &self.pieces {
            if before == at {
                return self.put(piece, bytes, files);
            }
            before += piece.bytes();
        }
        Ok(())
    }

    /// Writes a piece that another copy sent.
    pub fn import(
        &mut self,
        piece: &Piece,
        bytes: &[u8],
        files: &mut dyn Files,
    ) -> Result<(), Fault> {
        self.write((self.bytes, &piece.extents), (piece.hash, bytes), files)
    }

    fn put(&self, piece: &Piece, bytes: &[u8], files: &mut dyn Files) -> Result<(), Fault> {
        if let Some(at) = piece.packed {
            return files.write(FileId::Packed(self.file), at, bytes);
        }
        let (file, mut rest) = (FileId::Stage(self.file), bytes);
        for extent in &piece.extents {
            let len = usize::try_from(extent.len).unwrap_or(usize::MAX).min(rest.len());
            let (mine, behind) = rest.split_at(len);
            rest = behind;
            files.write(file, extent.off, mine)?;
            let within = mine.len() % LEN;
            if within > 0 {
                let zeros = [0; LEN];
                let end = extent.off + mine.len() as u64;
                files.write(file, end, zeros.get(within..).unwrap_or_default())?;
            }
        }
        Ok(())
    }

    /// The bytes of a piece, as they are on disk.
    pub fn read(&self, piece: &Piece, files: &dyn Files) -> Result<Vec<u8>, Fault> {
        let len = usize::try_from(piece.bytes()).unwrap_or(usize::MAX).min(MAX_PIECE);
        let mut bytes = vec![0; len];
        if let Some(at) = piece.packed {
            files.read(FileId::Packed(self.file), at, &mut bytes)?;
            return Ok(bytes);
        }
        let mut rest = bytes.as_mut_slice();
        for extent in &piece.extents {
            let len = usize::try_from(extent.len).unwrap_or(usize::MAX).min(rest.len());
            let (mine, behind) = rest.split_at_mut(len);
            rest = behind;
            files.read(FileId::Stage(self.file), extent.off, mine)?;
        }
        Ok(bytes)
    }

    /// Makes the file of the pieces the one of a value, and tells its chunks; `None` when it cannot
    /// be, and the bytes must be copied.
    pub(super) fn give(
        &mut self,
        (file, seq): (FileId, u64),
        files: &mut dyn Files,
    ) -> Result<Option<Chunks>, Fault> {
        if !self.whole || !files.adopt(FileId::Stage(self.file), file)? {
            return Ok(None);
        }
        self.whole = false;
        let mut chunks = std::mem::take(&mut self.chunks);
        chunks.stamp(seq);
        Ok(Some(chunks))
    }
}
