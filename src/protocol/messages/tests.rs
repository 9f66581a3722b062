//! Every reply and push in both forms.

use super::*;

/// The JSON form is `expect`; the protobuf form comes back as the same message.
fn check(reply: &Reply, expect: &str) {
    let mut out = BytesMut::new();
    reply.write(Encoding::Json, &mut out);
    assert_eq!(std::str::from_utf8(&out).unwrap(), expect);
    serde_json::from_str::<serde_json::Value>(expect).unwrap();
    out.clear();
    reply.write(Encoding::Protobuf, &mut out);
    let mut bytes = out.freeze();
    assert_eq!(Reply::decode_length_delimited(&mut bytes).as_ref(), Ok(reply));
    assert!(bytes.is_empty());
}

fn info() -> ClientInfo {
    let conn_info = Bytes::from_static(br#"{"nick":"al"}"#);
    ClientInfo { user: "~al".into(), client: "c".into(), conn_info, ..Default::default() }
}

#[test]
fn replies() {
    check(&Reply::default(), "{}");
    check(&Reply::new(5, Body::Publish(Empty {})), r#"{"id":5,"publish":{}}"#);
    check(&Reply::new(5, Body::Unsubscribe(Empty {})), r#"{"id":5,"unsubscribe":{}}"#);
    check(&Reply::new(5, Body::Ping(Empty {})), r#"{"id":5,"ping":{}}"#);
    check(
        &Reply::new(7, codes::TOO_MANY_REQUESTS),
        r#"{"id":7,"error":{"code":111,"message":"too many requests","temporary":true}}"#,
    );
    check(
        &Reply::new(7, codes::PERMISSION_DENIED),
        r#"{"id":7,"error":{"code":103,"message":"permission denied"}}"#,
    );
    let presence = [("c".to_owned(), info())].into();
    check(
        &Reply::new(8, Body::Presence(PresenceResult { presence })),
        r#"{"id":8,"presence":{"presence":{"c":{"user":"~al","client":"c","conn_info":{"nick":"al"}}}}}"#,
    );
    check(
        &Reply::new(8, Body::Presence(PresenceResult::default())),
        r#"{"id":8,"presence":{"presence":{}}}"#,
    );
    let stats = PresenceStatsResult { num_clients: 0, num_users: 0 };
    check(
        &Reply::new(8, Body::PresenceStats(stats)),
        r#"{"id":8,"presence_stats":{"num_clients":0,"num_users":0}}"#,
    );
    check(
        &Reply::new(9, Body::Rpc(RpcResult { data: Bytes::from_static(b"[1]") })),
        r#"{"id":9,"rpc":{"data":[1]}}"#,
    );
    check(
        &Reply::new(9, Body::Rpc(RpcResult { data: Bytes::from_static(b"\xff\x00") })),
        r#"{"id":9,"rpc":{"data":"/wA="}}"#,
    );
    check(
        &Reply::new(9, Body::SubRefresh(SubRefreshResult { expires: true, ttl: 3 })),
        r#"{"id":9,"sub_refresh":{"expires":true,"ttl":3}}"#,
    );
}

#[test]
fn connect_and_subscribe() {
    let subscribe = SubscribeResult {
        recoverable: true,
        positioned: true,
        epoch: "e".into(),
        offset: Some(0),
        ..Default::default()
    };
    let connect = ConnectResult {
        client: "c".into(),
        version: "1".into(),
        expires: true,
        ttl: 60,
        data: Bytes::from_static(br#"{"nick":"a"}"#),
        subs: vec![
            ServerSub { room: "r".into(), result: subscribe.clone() },
            ServerSub { room: "e".into(), result: SubscribeResult::default() },
        ],
        ping: 25,
        pong: true,
    };
    check(
        &Reply::new(1, Body::Connect(connect)),
        r#"{"id":1,"connect":{"client":"c","version":"1","expires":true,"ttl":60,"data":{"nick":"a"},"subs":{"r":{"recoverable":true,"epoch":"e","offset":0,"positioned":true},"e":{}},"ping":25,"pong":true}}"#,
    );
    // In the protobuf form, too, an entry has a value although that is empty.
    let empty = ServerSub { room: "e".into(), result: SubscribeResult::default() };
    assert_eq!(empty.encode_to_vec(), [0x0a, 1, b'e', 0x12, 0]);
    check(
        &Reply::new(2, Body::Subscribe(subscribe)),
        r#"{"id":2,"subscribe":{"recoverable":true,"epoch":"e","offset":0,"positioned":true}}"#,
    );
    check(
        &Reply::new(2, Body::Subscribe(SubscribeResult::default())),
        r#"{"id":2,"subscribe":{}}"#,
    );
}

#[test]
fn pushes() {
    let publication = Publication {
        data: Bytes::from_static(b"1"),
        info: Some(info()),
        offset: 9,
        tags: [("a".to_owned(), "b".to_owned())].into(),
        time: 17,
    };
    check(
        &Reply::push("r", PushBody::Pub(publication)),
        r#"{"push":{"channel":"r","pub":{"data":1,"info":{"user":"~al","client":"c","conn_info":{"nick":"al"}},"offset":9,"tags":{"a":"b"},"time":17}}}"#,
    );
    check(
        &Reply::push("r", codes::SERVER_UNSUBSCRIBE.into()),
        r#"{"push":{"channel":"r","unsubscribe":{"code":2000,"reason":"server unsubscribe"}}}"#,
    );
    let subscribe = Subscribe { offset: Some(3), epoch: "e".into(), ..Default::default() };
    check(
        &Reply::push("r", PushBody::Subscribe(subscribe)),
        r#"{"push":{"channel":"r","subscribe":{"epoch":"e","offset":3}}}"#,
    );
    check(
        &Reply::push("", codes::SHUTDOWN.into()),
        r#"{"push":{"disconnect":{"code":3001,"reason":"shutdown","reconnect":true}}}"#,
    );
    check(
        &Reply::push("", PushBody::Message(ServerMessage { data: Bytes::from_static(b"{}") })),
        r#"{"push":{"message":{"data":{}}}}"#,
    );
    check(
        &Reply::push("", PushBody::Refresh(RefreshPush { expires: true, ttl: 9 })),
        r#"{"push":{"refresh":{"expires":true,"ttl":9}}}"#,
    );
}
