//! The sequence of predefined types that a type is made of, without where they lie: what its data
//! means, as opposed to where it comes from. Repetitions are kept as such.

use std::sync::Arc;

use super::Basic;

/// See the top.
#[derive(Debug, Clone)]
pub struct Signature {
    form: Form,
    /// Bytes of data.
    pub bytes: u64,
    /// Bytes of data in external32.
    pub external: u64,
    /// Predefined types in it; a pair is two.
    pub elements: u64,
}

#[derive(Debug, Clone)]
enum Form {
    Empty,
    Basics(Basic, u64),
    Repeat(Arc<Signature>, u64),
    Sequence(Arc<[Signature]>),
}

impl Signature {
    /// Of nothing.
    pub const EMPTY: Self = Self { form: Form::Empty, bytes: 0, external: 0, elements: 0 };

    /// Of so many of one.
    pub fn basics(basic: Basic, count: u64) -> Option<Self> {
        let elements = if basic.pair().is_some() { 2 } else { 1 };
        let all = |each: u64| each.checked_mul(count).filter(|all| i64::try_from(*all).is_ok());
        Some(Self {
            form: Form::Basics(basic, count),
            bytes: all(basic.size())?,
            external: all(basic.external())?,
            elements: all(elements)?,
        })
    }

    /// The same so many times; `None` when it gets too long.
    pub fn repeated(&self, count: u64) -> Option<Self> {
        let all = |each: u64| each.checked_mul(count).filter(|all| i64::try_from(*all).is_ok());
        let form = match &self.form {
            Form::Empty => return Some(Self::EMPTY),
            _ if count == 0 => return Some(Self::EMPTY),
            _ if count == 1 => return Some(self.clone()),
            Form::Basics(basic, each) => Form::Basics(*basic, each.checked_mul(count)?),
            Form::Repeat(each, times) => Form::Repeat(each.clone(), times.checked_mul(count)?),
            Form::Sequence(_) => Form::Repeat(Arc::new(self.clone()), count),
        };
        let (bytes, external) = (all(self.bytes)?, all(self.external)?);
        Some(Self { form, bytes, external, elements: all(self.elements)? })
    }

    /// The predefined type that all of it is of, if it is one.
    pub fn basic(&self) -> Option<Basic> {
        match self.form {
            Form::Basics(basic, _) => Some(basic),
            _ => None,
        }
    }

    /// How many predefined types `bytes` bytes of such data are, when it is repeated for ever;
    /// `None` when the last of them is not whole.
    pub fn elements_in(&self, bytes: u64) -> Option<u64> {
        if self.bytes == 0 {
            return (bytes == 0).then_some(0);
        }
        let whole = (bytes / self.bytes).checked_mul(self.elements)?;
        whole.checked_add(self.elements_of_part(bytes % self.bytes)?)
    }

    fn elements_of_part(&self, bytes: u64) -> Option<u64> {
        if bytes == 0 || bytes == self.bytes {
            return Some(if bytes == 0 { 0 } else { self.elements });
        }
        match &self.form {
            Form::Empty => None,
            Form::Basics(basic, _) => {
                let (whole, part) = (bytes / basic.size(), bytes % basic.size());
                match basic.pair() {
                    None => (part == 0).then_some(whole),
                    Some(_) if part == 0 => whole.checked_mul(2),
                    Some((value, _)) => {
                        (part == value.size()).then_some(whole.checked_mul(2)?.checked_add(1)?)
                    }
                }
            }
            Form::Repeat(each, _) => each.elements_in(bytes),
            Form::Sequence(parts) => {
                let (mut left, mut elements) = (bytes, 0);
                for part in parts.iter() {
                    if left < part.bytes {
                        return part.elements_of_part(left).map(|more| elements + more);
                    }
                    left -= part.bytes;
                    elements += part.elements;
                }
                (left == 0).then_some(elements)
            }
        }
    }

    /// Bytes of so many predefined types of such data, when it is repeated for ever.
    pub fn bytes_of(&self, elements: u64) -> Option<u64> {
        if self.elements == 0 {
            return (elements == 0).then_some(0);
        }
        let whole = (elements / self.elements).checked_mul(self.bytes)?;
        let left = elements % self.elements;
        let part = match &self.form {
            Form::Empty => 0,
            Form::Basics(basic, _) => match basic.pair() {
                None => left * basic.size(),
                Some((value, _)) => left / 2 * basic.size() + left % 2 * value.size(),
            },
            Form::Repeat(each, _) => each.bytes_of(left)?,
            Form::Sequence(parts) => {
                let (mut left, mut bytes) = (left, 0);
                for part in parts.iter() {
                    if left == 0 {
                        break;
                    }
                    let taken = left.min(part.elements);
                    bytes += part.bytes_of(taken)?;
                    left -= taken;
                }
                bytes
            }
        };
        whole.checked_add(part)
    }

    /// Its predefined types in order, with how many of each follow one another.
    pub fn runs(&self) -> Runs<'_> {
        Runs { stack: vec![(self, 0)] }
    }
}

/// See [`Signature::runs`].
#[derive(Debug)]
pub struct Runs<'a> {
    /// What is under way, and which part of it is next.
    stack: Vec<(&'a Signature, u64)>,
}

impl Iterator for Runs<'_> {
    type Item = (Basic, u64);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let (signature, next) = self.stack.last_mut()?;
            let (signature, at) = (*signature, *next);
            *next += 1;
            let part = match &signature.form {
                Form::Empty => None,
                Form::Basics(basic, count) => {
                    self.stack.pop();
                    return Some((*basic, *count));
                }
                Form::Repeat(each, times) => (at < *times).then_some(each.as_ref()),
                Form::Sequence(parts) => usize::try_from(at).ok().and_then(|at| parts.get(at)),
            };
            match part {
                Some(part) => self.stack.push((part, 0)),
                None => drop(self.stack.pop()),
            }
        }
    }
}

/// Makes a signature of signatures, in order.
#[derive(Debug, Default)]
pub struct Joiner {
    parts: Vec<Signature>,
    bytes: u64,
    external: u64,
    elements: u64,
}

impl Joiner {
    /// Adds one so many times; `None` when it gets too long.
    pub fn push(&mut self, signature: &Signature, count: u64) -> Option<()> {
        let add = |sum: u64, each: u64| {
            let all = sum.checked_add(each.checked_mul(count)?)?;
            i64::try_from(all).is_ok().then_some(all)
        };
        self.bytes = add(self.bytes, signature.bytes)?;
        self.external = add(self.external, signature.external)?;
        self.elements = add(self.elements, signature.elements)?;
        if let Some(last) = self.parts.last_mut()
            && last.take_in(signature, count)
        {
            return Some(());
        }
        let new = signature.repeated(count)?;
        if !matches!(new.form, Form::Empty) {
            self.parts.push(new);
        }
        Some(())
    }

    /// Them all.
    pub fn finish(mut self) -> Signature {
        if self.parts.len() <= 1 {
            return self.parts.pop().unwrap_or(Signature::EMPTY);
        }
        let form = Form::Sequence(self.parts.into());
        let Self { bytes, external, elements, .. } = self;
        Signature { form, bytes, external, elements }
    }
}

impl Signature {
    /// Grows by what is the same; whether it could. The sums were checked before.
    fn take_in(&mut self, more: &Self, count: u64) -> bool {
        let taken = match (&mut self.form, &more.form) {
            (Form::Basics(own, n), Form::Basics(other, m)) if own == other => {
                *n += m * count;
                true
            }
            (Form::Repeat(own, n), Form::Repeat(other, m)) if Arc::ptr_eq(own, other) => {
                *n += m * count;
                true
            }
            (Form::Repeat(own, n), Form::Sequence(parts)) => {
                let same = matches!(&own.form, Form::Sequence(own) if Arc::ptr_eq(own, parts));
                *n += if same { count } else { 0 };
                same
            }
            (Form::Sequence(own), Form::Sequence(parts)) if Arc::ptr_eq(own, parts) => {
                let each = Arc::new(more.clone());
                self.form = Form::Repeat(each, count + 1);
                true
            }
            _ => false,
        };
        if taken {
            self.bytes += more.bytes * count;
            self.external += more.external * count;
            self.elements += more.elements * count;
        }
        taken
    }
}
