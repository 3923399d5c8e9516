//! Laying a file out, for jobs that read what nobody has written yet.

use client::{Done, File, Op, Output, Submission};
use verbs::Provider;
use wire::nfs3::StableHow;

use crate::session::{Failure, Session, TAG_WAITED_FOR};

/// Writes in flight.
const DEPTH: usize = crate::memory::SPARE_BUFFERS as usize;

/// What to write.
pub(crate) struct Order<'a> {
    pub(crate) file: File,
    /// From the start of the file up to here.
    pub(crate) size: u64,
    /// Whether it is to be durable.
    pub(crate) commit: bool,
    /// Makes a block's content.
    pub(crate) fill: &'a mut dyn FnMut(&mut [u8]),
}

/// Writes it. What the server takes only a part of is written again from there.
pub(crate) fn lay_out<P: Provider>(
    session: &mut Session<P>,
    order: &mut Order<'_>,
) -> Result<(), Failure> {
    let block = session.client.limits(session.mount).map_or(0, |limits| limits.write_max);
    let mut layout = Layout { block: block.max(1), ..Layout::default() };
    loop {
        layout.submit(session, order);
        if layout.under_way.iter().all(Option::is_none) {
            break;
        }
        if !session.turn() {
            session.pause();
        }
        while let Some(done) = session.waited_for.pop_front() {
            layout.finished(done);
        }
    }
    match layout.failure {
        Some(failure) => return Err(failure),
        None if layout.next < order.size || !layout.again.is_empty() => {
            return Err(Failure::new(libc::ENOBUFS, "there is no buffer to lay the file out with"));
        }
        None => {}
    }
    if order.commit {
        session.call(Op::Sync { file: order.file })?;
    }
    Ok(())
}

/// A stretch of the file.
#[derive(Clone, Copy)]
struct Stretch {
    offset: u64,
    len: u32,
}

/// How far it is.
#[derive(Default)]
struct Layout {
    block: u32,
    /// Everything before was submitted once.
    next: u64,
    /// What the server did not take at first.
    again: Vec<Stretch>,
    under_way: [Option<Stretch>; DEPTH],
    failure: Option<Failure>,
}

impl Layout {
    /// As many writes as there is room for.
    fn submit<P: Provider>(&mut self, session: &mut Session<P>, order: &mut Order<'_>) {
        while self.failure.is_none()
            && let Some(place) = self.under_way.iter().position(Option::is_none)
            && let Some(stretch) = self.again.pop().or_else(|| self.following(order.size))
        {
            if !write(session, order, place, stretch) {
                self.again.push(stretch);
                return;
            }
            self.under_way[place] = Some(stretch);
        }
    }

    fn following(&mut self, size: u64) -> Option<Stretch> {
        let len = u64::from(self.block).min(size.saturating_sub(self.next)) as u32;
        let stretch = Stretch { offset: self.next, len };
        self.next += u64::from(len);
        (len > 0).then_some(stretch)
    }

    fn finished(&mut self, done: Done) {
        let place = (done.tag - TAG_WAITED_FOR) as usize;
        let Some(Stretch { offset, len }) = self.under_way.get_mut(place).and_then(Option::take)
        else {
            return;
        };
        match done.result {
            Ok(Output::Written { count, .. }) if count < len => {
                let offset = offset + u64::from(count);
                self.again.push(Stretch { offset, len: len - count });
            }
            Ok(_) => {}
            Err(error) => self.failure = self.failure.take().or(Some(error.into())),
        }
    }
}

/// False: there is no room now.
fn write<P: Provider>(
    session: &mut Session<P>,
    order: &mut Order<'_>,
    place: usize,
    Stretch { offset, len }: Stretch,
) -> bool {
    let Some(mut buffer) = session.pool.alloc() else { return false };
    (order.fill)(&mut buffer[..len as usize]);
    let (file, stable) = (order.file, StableHow::Unstable);
    let op = match order.commit {
        true => Op::WriteBack { file, offset, len },
        false => Op::Write { file, offset, len, stable },
    };
    let tag = TAG_WAITED_FOR + place as u64;
    let now = session.now();
    session
        .client
        .submit(session.mount, Submission { tag, op, buffer: Some(buffer), pieces: None }, now)
        .is_ok()
}
