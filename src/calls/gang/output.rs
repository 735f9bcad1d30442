//! What the ranks of a job write: put together in whole lines, kept as the job's log, and read by
//! whoever follows it while the job runs.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::calls::budget::{Budget, Share};
use crate::calls::spec::UserBook;

/// A line longer than this is passed on in pieces, in bytes.
const LINE: usize = 8 << 10;
/// Most text of one job that is kept, in bytes.
const MOST: u64 = 64 << 20;
/// What is kept is taken from the budget in pieces of this size, in bytes.
const STEP: usize = 1 << 20;

/// Puts what ranks write together, line by line, so that no line has parts of two ranks.
#[derive(Debug, Default)]
pub struct Merger {
    tag: bool,
    partial: HashMap<u32, Vec<u8>>,
}

impl Merger {
    /// One that names the rank before each line, or not.
    pub fn new(tag: bool) -> Self {
        Self { tag, partial: HashMap::new() }
    }

    /// A rank has written: the lines that are whole now are appended to `into`.
    pub fn wrote(&mut self, rank: u32, text: &[u8], into: &mut Vec<u8>) {
        let mut line = self.partial.remove(&rank).unwrap_or_default();
        for part in text.split_inclusive(|byte| *byte == b'\n') {
            for piece in part.chunks(LINE) {
                line.extend_from_slice(piece);
                if line.ends_with(b"\n") || line.len() >= LINE {
                    self.put(rank, &line, into);
                    line.clear();
                }
            }
        }
        if !line.is_empty() {
            self.partial.insert(rank, line);
        }
    }

    /// A rank has ended: what it left of a line is one.
    pub fn ended(&mut self, rank: u32, into: &mut Vec<u8>) {
        if let Some(mut line) = self.partial.remove(&rank) {
            line.push(b'\n');
            self.put(rank, &line, into);
        }
    }

    fn put(&self, rank: u32, line: &[u8], into: &mut Vec<u8>) {
        if self.tag {
            into.extend_from_slice(format!("[{rank}] ").as_bytes());
        }
        into.extend_from_slice(line);
        if !line.ends_with(b"\n") && self.tag {
            into.push(b'\n');
        }
    }
}

/// What one job has written.
pub struct JobOutput {
    text: Mutex<Text>,
    more: Notify,
    budget: Arc<Budget>,
    user: Arc<UserBook>,
    most: usize,
}

#[derive(Default)]
struct Text {
    merger: Merger,
    kept: Vec<u8>,
    shares: Vec<Share>,
    full: bool,
    over: bool,
}

impl JobOutput {
    /// For a job whose ranks may each write `each` bytes.
    pub fn new(tag: bool, ranks: u32, each: u64, budget: Arc<Budget>, user: Arc<UserBook>) -> Self {
        let most = each.saturating_mul(u64::from(ranks)).min(MOST);
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        let text = Mutex::new(Text { merger: Merger::new(tag), ..Text::default() });
        Self { text, more: Notify::new(), budget, user, most }
    }

    /// A rank has written.
    pub fn wrote(&self, rank: u32, text: &[u8]) {
        self.add(|merger, into| merger.wrote(rank, text, into));
    }

    /// A rank has ended.
    pub fn ended(&self, rank: u32) {
        self.add(|merger, into| merger.ended(rank, into));
    }

    /// The job itself has something to say.
    pub fn says(&self, line: &str) {
        self.add(|_, into| into.extend_from_slice(format!("faasm: {line}\n").as_bytes()));
    }

    fn add(&self, write: impl FnOnce(&mut Merger, &mut Vec<u8>)) {
        let mut lines = Vec::new();
        {
            let mut text = self.text.lock();
            if text.over {
                return;
            }
            write(&mut text.merger, &mut lines);
            self.keep(&mut text, &lines);
        }
        if !lines.is_empty() {
            self.more.notify_waiters();
        }
    }

    fn keep(&self, text: &mut Text, lines: &[u8]) {
        if text.full {
            return;
        }
        let room = self.most.saturating_sub(text.kept.len());
        let mut fits = lines.len() <= room;
        while fits && text.kept.len() + lines.len() > text.shares.len() * STEP {
            match self.budget.take(&self.user, STEP) {
                Ok(share) => text.shares.push(share),
                Err(_) => fits = false,
            }
        }
        if fits {
            return text.kept.extend_from_slice(lines);
        }
        text.full = true;
        let had = text.kept.len();
        let last = format!("faasm: what the ranks write after these {had} bytes is not kept\n");
        text.kept.extend_from_slice(last.as_bytes());
    }

    /// The job has ended: nothing more will come. All of its text.
    pub fn close(&self) -> Bytes {
        let all = {
            let mut text = self.text.lock();
            text.over = true;
            Bytes::copy_from_slice(&text.kept)
        };
        self.more.notify_waiters();
        all
    }

    /// What there is from a byte on, at most `most`, and whether no more will come after it.
    pub fn read(&self, from: usize, most: usize) -> (Bytes, bool) {
        let text = self.text.lock();
        let rest = text.kept.get(from..).unwrap_or_default();
        let part = rest.get(..most).unwrap_or(rest);
        (Bytes::copy_from_slice(part), text.over && part.len() == rest.len())
    }

    /// The same, waiting until there is something or no more will come.
    pub async fn next(&self, from: usize, most: usize) -> (Bytes, bool) {
        loop {
            let mut more = std::pin::pin!(self.more.notified());
            more.as_mut().enable();
            let (part, over) = self.read(from, most);
            if over || !part.is_empty() {
                return (part, over);
            }
            more.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::Name;

    fn output(tag: bool, each: u64, budget: usize) -> JobOutput {
        let user = UserBook::new(Name::new("a").unwrap(), 1, 0);
        JobOutput::new(tag, 2, each, Budget::new(budget), user)
    }

    fn all(output: &JobOutput) -> String {
        String::from_utf8(output.close().to_vec()).unwrap()
    }

    #[test]
    fn lines_of_ranks_are_whole_and_tagged_if_asked() {
        let tagged = output(true, 1000, 8 << 20);
        tagged.wrote(0, b"he");
        tagged.wrote(1, b"one\ntwo\nthr");
        tagged.wrote(0, b"llo\n");
        tagged.ended(1);
        assert_eq!(all(&tagged), "[1] one\n[1] two\n[0] hello\n[1] thr\n");
        let plain = output(false, 1000, 8 << 20);
        plain.wrote(0, b"a");
        plain.wrote(1, b"b\n");
        plain.wrote(0, b"c\n");
        assert_eq!(all(&plain), "b\nac\n");
    }

    #[test]
    fn a_line_without_an_end_is_passed_on_in_pieces() {
        let plain = output(false, 1 << 20, 8 << 20);
        plain.wrote(0, &vec![b'x'; 3 * LINE + 1]);
        assert_eq!(plain.read(0, usize::MAX).0.len(), 3 * LINE);
        plain.ended(0);
        assert_eq!(all(&plain).len(), 3 * LINE + 2);
    }

    #[test]
    fn what_is_kept_is_bounded_by_the_job_and_by_the_users_budget() {
        for full in [output(false, 10, 8 << 20), output(false, 1 << 20, 4)] {
            (0..100).for_each(|_| full.wrote(0, b"some line\n"));
            let text = all(&full);
            assert!(text.len() < 100 && text.ends_with("is not kept\n"), "{text}");
        }
    }

    #[tokio::test]
    async fn who_follows_gets_all_in_order_and_hears_of_the_end() {
        let output = Arc::new(output(false, 1000, 8 << 20));
        let follower = tokio::spawn({
            let output = output.clone();
            async move {
                let (mut text, mut over) = (Vec::new(), false);
                while !over {
                    let (part, end) = output.next(text.len(), 3).await;
                    text.extend_from_slice(&part);
                    over = end;
                }
                text
            }
        });
        output.wrote(0, b"first\n");
        tokio::task::yield_now().await;
        output.wrote(1, b"second\n");
        output.close();
        output.wrote(1, b"too late\n");
        assert_eq!(follower.await.unwrap(), b"first\nsecond\n");
    }
}
