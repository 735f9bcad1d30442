//! Blocks of several ranks in one message. Where all blocks are of one length they lie one after the
//! other; else their lengths come first.

use bytes::Bytes;

use crate::mpi::constants as c;
use crate::mpi::error::{Error, Result};

/// Bytes of a length.
const LENGTH: usize = 8;

/// How long a bundle of these blocks is.
pub fn len(lens: impl IntoIterator<Item = u64>, equal: Option<u64>) -> u64 {
    let header = if equal.is_some() { 0 } else { LENGTH as u64 };
    lens.into_iter().map(|len| len.saturating_add(header)).fold(0, u64::saturating_add)
}

/// Puts blocks together.
pub fn join(blocks: &[Bytes], equal: Option<u64>) -> Result<Bytes> {
    if let Some(len) = equal {
        blocks.iter().try_for_each(|block| super::due(block.len() as u64, len))?;
        return Ok(match blocks {
            [one] => one.clone(),
            _ => blocks.concat().into(),
        });
    }
    let lens = blocks.iter().map(|block| (block.len() as u64).to_le_bytes());
    let mut bytes = lens.collect::<Vec<_>>().concat();
    bytes.reserve_exact(blocks.iter().map(Bytes::len).sum());
    blocks.iter().for_each(|block| bytes.extend_from_slice(block));
    Ok(bytes.into())
}

/// Takes so many blocks apart.
pub fn split(bundle: &Bytes, count: usize, equal: Option<u64>) -> Result<Vec<Bytes>> {
    let strange =
        || Error::new(c::MPI_ERR_TRUNCATE, "a node gave other blocks to a collective than are due");
    let (lens, mut rest) = match equal {
        Some(len) => (vec![len; count], bundle.clone()),
        None => {
            let (lens, _) = bundle.as_chunks::<LENGTH>();
            let lens: Vec<_> =
                lens.iter().take(count).map(|len| u64::from_le_bytes(*len)).collect();
            if lens.len() < count {
                return Err(strange());
            }
            (lens, bundle.slice(count * LENGTH..))
        }
    };
    let block = |len: u64| {
        let len = usize::try_from(len).ok().filter(|len| *len <= rest.len()).ok_or_else(strange)?;
        Ok(rest.split_to(len))
    };
    let blocks: Result<Vec<_>> = lens.into_iter().map(block).collect();
    if rest.is_empty() { blocks } else { Err(strange()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_come_out_as_they_went_in() {
        let blocks = ["abc", "", "de"].map(|text| Bytes::from_static(text.as_bytes()));
        let bundle = join(&blocks, None).unwrap();
        assert_eq!(bundle.len() as u64, len([3, 0, 2], None));
        assert_eq!(split(&bundle, 3, None).unwrap(), blocks);
        let equal = ["ab", "cd"].map(|text| Bytes::from_static(text.as_bytes()));
        let bundle = join(&equal, Some(2)).unwrap();
        assert_eq!((bundle.len() as u64, len([2, 2], Some(2))), (4, 4));
        assert_eq!(split(&bundle, 2, Some(2)).unwrap(), equal);
    }

    #[test]
    fn what_is_no_bundle_is_an_error() {
        assert!(
            join(&["a", "bc"].map(|text| Bytes::from_static(text.as_bytes())), Some(1)).is_err()
        );
        let bundle = join(&["abc"].map(|text| Bytes::from_static(text.as_bytes())), None).unwrap();
        for (bytes, count, equal) in [
            (bundle.clone(), 2, None),
            (bundle.slice(..10), 1, None),
            (bundle.slice(..7), 1, None),
            ([&bundle[..], b"x"].concat().into(), 1, None),
            (Bytes::from_static(b"abc"), 2, Some(2)),
            (Bytes::from_static(b"abcde"), 2, Some(2)),
            (Bytes::from(vec![255; 8]), 1, None),
        ] {
            assert!(split(&bytes, count, equal).is_err(), "{bytes:?} {count}");
        }
    }
}
