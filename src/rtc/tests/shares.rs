//! Who holds what: quotas, those who fell silent, and accounts that are looked up slowly.

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_made_while_accounts_are_looked_up_is_not_judged() {
    let relay = Relay::open().await;
    let (mut ann, mut bob) = (relay.peer(ANN).await, relay.peer(BOB).await);
    assert_eq!(ann.allocate().await, 0);
    let held = relay.people.slow.clone().write_owned().await;
    relay.people.since.lock().remove(&ANN);
    let asked = relay.people.begun.load(Ordering::SeqCst);
    let begun = async {
        // One may have begun before Ann was removed.
        while relay.people.begun.load(Ordering::SeqCst) < asked + 1 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(DEADLINE, begun).await.unwrap();
    assert_eq!(bob.allocate().await, 0);
    drop(held);
    let ended = async {
        while ann.refresh(600).await != 437 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(DEADLINE, ended).await.unwrap();
    assert_eq!(bob.refresh(600).await, 0);
}

#[tokio::test]
async fn at_the_quota_the_oldest_silent_allocation_of_the_account_gives_way() {
    let set = |limits: &mut RelayLimits| (limits.per_account, limits.total) = (3, 5);
    let relay = Relay::with(set, RelayWay::Internal).await;
    let mut all = Vec::new();
    for _ in 0..3 {
        let mut one = relay.peer(ANN).await;
        assert_eq!(one.allocate().await, 0);
        all.push(one);
    }
    let mut bob = relay.peer(BOB).await;
    assert_eq!(bob.allocate().await, 0);
    let mut late = relay.peer(ANN).await;
    *relay.people.now.lock() += 29;
    assert_eq!(late.allocate().await, 486);
    // Whatever comes from a client shows that it is there.
    assert_eq!(all[0].refresh(600).await, 0);
    all[2].socket.send(b"\x40\x00\x00\x00").await.unwrap();
    assert_eq!(all[2].permit(&["203.0.113.113:2000"]).await, 0);
    *relay.people.now.lock() += 1;
    assert_eq!(late.allocate().await, 0);
    assert_eq!(all[1].refresh(600).await, 437);
    assert_eq!(all[0].refresh(600).await, 0);
    assert_eq!(all[2].refresh(600).await, 0);
    assert_eq!(relay.peer(ANN).await.allocate().await, 486);
    // Where there is no more for anybody, nobody's but one's own gives way.
    assert_eq!(relay.peer(BOB).await.allocate().await, 0);
    *relay.people.now.lock() += 60;
    assert_eq!(bob.refresh(600).await, 0);
    all.remove(1);
    all.push(late);
    for peer in &mut all {
        assert_eq!(peer.refresh(600).await, 0);
    }
    assert_eq!(relay.peer(ANN).await.allocate().await, 486);
    assert_eq!(relay.peer(BOB).await.allocate().await, 0);
    assert_eq!(relay.peer(BOB).await.allocate().await, 508);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_sends_too_much_is_read_more_slowly_and_loses_nothing() {
    let set = |limits: &mut RelayLimits| limits.bandwidth = NonZeroU32::new(500_000).unwrap();
    let relay = Relay::with(set, RelayWay::Internal).await;
    let mut ann = StreamPeer::open(&relay, ANN).await;
    let mut bob = StreamPeer::open(&relay, BOB).await;
    let (near, far) = (ann.allocate().await, bob.allocate().await);
    for (peer, other) in [(&mut ann, far), (&mut bob, near)] {
        let other = Box::new(PeerAddress { ip: other.ip(), port: other.port() });
        let number = Box::new(ChannelNumber(0x4001));
        assert_eq!(code(&peer.ask(METHOD_CHANNEL_BIND, vec![number, other]).await), 0);
    }
    let (_reading, mut writing) = ann.stream.split();
    let send = async {
        for number in 0..1000_u32 {
            let mut frame = vec![0x40, 1, 0x03, 0xe8];
            frame.extend(number.to_be_bytes());
            frame.resize(1004, 7);
            writing.write_all(&frame).await.unwrap();
        }
    };
    let read = async {
        for number in 0..1000_u32 {
            let frame = bob.frame().await;
            assert_eq!(frame.len(), 1004);
            assert_eq!(frame[4..8], number.to_be_bytes());
        }
    };
    let begun = std::time::Instant::now();
    timeout(3 * DEADLINE, async { tokio::join!(send, read) }).await.unwrap();
    // A million bytes, of which some are had at once.
    assert!(begun.elapsed() > Duration::from_millis(1500), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn whatever_is_sent_by_a_stream_keeps_it_open() {
    let relay = Relay::open().await;
    let mut ann = StreamPeer::open(&relay, ANN).await;
    ann.allocate().await;
    for len in [0, 1, 1472, 1500, 9000, 65_000] {
        let mut sent = Message::new();
        let kind = MessageType::new(METHOD_SEND, CLASS_INDICATION);
        let peer = PeerAddress { ip: "203.0.113.113".parse().unwrap(), port: 2000 };
        let data = Data(vec![7; len]);
        sent.build(&[
            Box::new(TransactionId::new()),
            Box::new(kind),
            Box::new(peer),
            Box::new(data),
        ])
        .unwrap();
        ann.stream.write_all(&sent.raw).await.unwrap();
        assert_eq!(code(&ann.ask(METHOD_REFRESH, Vec::new()).await), 0, "{len}");
    }
    for len in [0_u16, 1, 1497, 9000, 65_534, 65_535] {
        let mut frame = vec![0x40, 5];
        frame.extend(len.to_be_bytes());
        frame.resize((4 + usize::from(len)).next_multiple_of(4), 7);
        ann.stream.write_all(&frame).await.unwrap();
        assert_eq!(code(&ann.ask(METHOD_REFRESH, Vec::new()).await), 0, "{len}");
    }
}
