//! Files through futures on a real reactor, against the target on another thread.

#![forbid(unsafe_code)]

use std::rc::Rc;
use std::time::Duration;

use client::aio::Session;
use client::{Client, Error, MountConfig, MountOptions, Piece, Pieces, locate};
use hugepages::Buffer;
use reactor::{IdlePolicy, Reactor, ReactorConfig, StopToken};
use rpcrdma::{EndpointConfig, TransportConfig};
use system_tests::{Plan, credential, pattern};
use target::Target;
use verbs::soft::{Clock, SoftFabric};

/// Runs async code on a reactor of this thread, with a target on its own.
fn with_session<F>(queue_depth: u32, code: impl FnOnce(Session<SoftFabric>) -> F)
where
    F: Future<Output = ()> + 'static,
{
    let fabric = SoftFabric::new(Clock::Real);
    let stop = StopToken::new();
    let (addresses, started) = std::sync::mpsc::channel();
    let server = std::thread::spawn({
        let (fabric, stop) = (fabric.clone(), stop.clone());
        move || {
            let target = Target::start(&fabric, Plan::default().target).unwrap();
            addresses.send((target.nfs_addr(), target.mount_addr())).unwrap();
            let config = ReactorConfig { idle: IdlePolicy::Yield, stop, ..Default::default() };
            let mut reactor = Reactor::new("target", config).unwrap();
            reactor.add_poller(target).unwrap();
            reactor.run();
        }
    });
    let (nfs, mount_port) = started.recv().unwrap();
    let options = MountOptions {
        mount_port: Some(mount_port.port()),
        timeout: Duration::from_secs(10),
        auth: credential(),
        ..MountOptions::default()
    };
    let located = locate(&format!("nfs://{nfs}/").parse().unwrap(), &options).unwrap();

    let config = ReactorConfig { idle: IdlePolicy::Yield, ..Default::default() };
    let mut reactor = Reactor::new("client", config).unwrap();
    let now = reactor.now();
    let mut client = Client::new(fabric, EndpointConfig::default());
    let mut transport = TransportConfig::new(nfs);
    transport.buffers = Plan::default().transport.buffers;
    let config = MountConfig {
        root: located.root,
        auth: credential(),
        queue_depth,
        uncommitted_max: 1 << 20,
        jukebox_wait_ns: client::JUKEBOX_WAIT_NS,
        transport,
    };
    let mount = client.mount(&config, now).unwrap();
    let (session, driver) = Session::new(client, mount, now);
    reactor.add_poller(driver).unwrap();
    reactor.run_until(code(session)).unwrap();
    drop(reactor);
    stop.stop();
    server.join().unwrap();
}

#[test]
fn buffers_are_given_and_returned() {
    with_session(16, |session| async move {
        session.mounted().await.unwrap();
        let file = session.create("dir-less", 0o600).await.unwrap();
        let mut buffer = session.buffer().unwrap();
        buffer[..5000].copy_from_slice(&pattern(5000, 3));
        let (written, buffer) = file.write(100, 5000, buffer).await;
        assert_eq!(written, Ok(5000));
        file.commit().await.unwrap();
        let mut buffer = buffer.unwrap();
        buffer.fill(0);
        let (read, buffer) = file.read(100, 8192, buffer).await;
        assert_eq!(read, Ok(5000));
        assert_eq!(buffer.unwrap()[..5000], pattern(5000, 3));
        file.close().await.unwrap();
        let again = session.open("dir-less").await.unwrap();
        assert_eq!(again.attributes().unwrap().size, 5100);
        let missing = session.open("nothing").await.err().unwrap();
        assert_eq!(missing.errno(), 2, "{missing}");
    });
}

#[test]
fn pieces_and_memory_of_ones_own_are_given_and_returned() {
    with_session(16, |session| async move {
        session.mounted().await.unwrap();
        let file = session.create("f", 0o600).await.unwrap();
        let own = Buffer::from_vec(pattern(9000, 1)).unwrap();
        let pieces = [Piece::new(session.buffer().unwrap(), 1, 3), Piece::new(own, 0, 9000)];
        let mut pieces = Pieces::new(pieces).unwrap();
        pieces.iter_mut().next().unwrap().bytes_mut().copy_from_slice(b"abc");
        let (written, pieces) = file.write_vectored(10, pieces).await;
        assert_eq!(written, Ok(9003));
        let mut pieces = pieces.unwrap();
        pieces.iter_mut().for_each(|piece| piece.bytes_mut().fill(0));
        let (read, pieces) = file.read_vectored(10, pieces).await;
        assert_eq!(read, Ok(9003));
        let own = pieces.unwrap().into_pieces().pop().unwrap().into_buffer().unwrap();
        assert_eq!(own[..], pattern(9000, 1));
        let (read, own) = file.read(10, 9000, own).await;
        let own = own.unwrap();
        assert_eq!((read, &own[..3]), (Ok(9000), &b"abc"[..]));
        assert!(session.deregister(&own));
        assert_eq!(own.into_vec().unwrap()[3..], pattern(9000, 1)[..8997]);
    });
}

#[test]
fn more_futures_than_the_queue_is_deep_take_turns() {
    with_session(4, |session| async move {
        session.mounted().await.unwrap();
        let file = Rc::new(session.create("f", 0o600).await.unwrap());
        let writes: Vec<_> = (0..40u64)
            .map(|index| {
                let (file, session) = (file.clone(), session.clone());
                Box::pin(async move {
                    let mut buffer = session.buffer().unwrap();
                    buffer[..512].fill(index as u8);
                    file.write(index * 512, 512, buffer).await.0
                })
            })
            .collect();
        for written in join_all(writes).await {
            assert_eq!(written, Ok(512));
        }
        file.commit().await.unwrap();
    });
}

#[test]
fn a_dropped_future_loses_neither_buffer_nor_place() {
    with_session(2, |session| async move {
        session.mounted().await.unwrap();
        let file = session.create("f", 0o600).await.unwrap();
        for _ in 0..100 {
            let buffer = session.buffer().unwrap();
            let mut read = Box::pin(file.read(0, 512, buffer));
            std::future::poll_fn(|cx| {
                let _ = read.as_mut().poll(cx);
                std::task::Poll::Ready(())
            })
            .await;
            drop(read);
            // The place in the queue is free again once the result has come and gone.
            let buffer = session.buffer().unwrap();
            assert_eq!(file.read(0, 512, buffer).await.0, Ok(0));
        }
    });
}

#[test]
fn after_unmounting_every_operation_fails_at_once() {
    with_session(4, |session| async move {
        session.mounted().await.unwrap();
        let file = session.create("f", 0o600).await.unwrap();
        session.unmount();
        let buffer = session.buffer();
        let mut outcome = Ok(0);
        if let Some(buffer) = buffer {
            outcome = file.read(0, 512, buffer).await.0;
        }
        assert!(matches!(outcome, Err(Error::Transport(_) | Error::NotMounted)), "{outcome:?}");
    });
}

/// All of them, polled together.
async fn join_all<F: Future + Unpin>(mut futures: Vec<F>) -> Vec<F::Output> {
    let mut outputs: Vec<Option<F::Output>> = futures.iter().map(|_| None).collect();
    std::future::poll_fn(|cx| {
        for (future, output) in futures.iter_mut().zip(&mut outputs) {
            if output.is_none()
                && let std::task::Poll::Ready(ready) = std::pin::Pin::new(future).poll(cx)
            {
                *output = Some(ready);
            }
        }
        if outputs.iter().all(Option::is_some) {
            std::task::Poll::Ready(())
        } else {
            std::task::Poll::Pending
        }
    })
    .await;
    outputs.into_iter().flatten().collect()
}
