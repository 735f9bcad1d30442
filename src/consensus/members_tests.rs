use super::*;

fn key(n: u8) -> KeyHash {
    KeyHash([n; 32])
}

fn member(node: u64) -> Member {
    let port = 7000 + node;
    Member {
        node: NodeId(node),
        quic: format!("10.0.0.1:{port}"),
        http: format!("10.0.0.2:{port}"),
        keys: Vec::new(),
        draining: false,
    }
}

fn authority(generation: u64, previous: Option<&str>) -> Authority {
    Authority {
        generation,
        cert_pem: format!("cert {generation}"),
        key_pem: "key".into(),
        previous: previous.map(str::to_owned),
    }
}

fn founded(count: u64) -> Members {
    let mut members = Members::default();
    let found = MemberCommand::Found {
        members: (1..=count).map(member).collect(),
        authority: Some(authority(1, None)),
        admin: None,
        now_ms: 1,
    };
    assert_eq!(members.change(found.clone()), Response::Done);
    assert!(matches!(members.change(found), Response::Refused(_)));
    members
}

fn token(members: &mut Members, uses: u32) -> TokenHash {
    let hash = TokenHash::of("t");
    let token = JoinToken { hash, expires_ms: 1000, uses };
    assert_eq!(members.change(MemberCommand::PutJoinToken(token)), Response::Done);
    hash
}

fn join(n: u8, token: TokenHash, now_ms: u64) -> MemberCommand {
    let member = member(u64::from(n));
    MemberCommand::Join {
        token,
        key: key(n),
        quic: member.quic,
        http: member.http,
        replaces: None,
        now_ms,
    }
}

#[test]
fn a_join_uses_up_its_token_and_a_repeat_gets_the_same_id() {
    let mut members = founded(3);
    let token = token(&mut members, 1);
    assert_eq!(members.change(join(9, token, 10)), Response::Joined(NodeId(4)));
    assert_eq!(members.change(join(9, token, 10)), Response::Joined(NodeId(4)));
    assert!(matches!(members.change(join(8, token, 10)), Response::Refused(_)));
    assert_eq!(members.get(NodeId(4)).unwrap().keys, [key(9)]);
    assert!(members.join_tokens().is_empty());
}

#[test]
fn a_token_that_is_unknown_revoked_or_expired_lets_nobody_in() {
    let mut members = founded(1);
    let refused = |answer| matches!(answer, Response::Refused(_));
    assert!(refused(members.change(join(9, TokenHash::of("guess"), 10))));
    let good = token(&mut members, 5);
    assert!(refused(members.change(join(9, good, 1000))));
    token(&mut members, 5);
    assert_eq!(members.change(MemberCommand::RemoveJoinToken(good.name())), Response::Done);
    assert!(refused(members.change(join(9, good, 10))));
    assert_eq!(members.all().len(), 1);
}

#[test]
fn ids_are_never_given_again() {
    let mut members = founded(2);
    let token = token(&mut members, 5);
    members.change(join(9, token, 10));
    assert_eq!(members.change(MemberCommand::Remove { node: NodeId(3) }), Response::Done);
    assert!(members.was_removed(NodeId(3)) && !members.was_removed(NodeId(4)));
    assert_eq!(members.change(join(9, token, 10)), Response::Joined(NodeId(4)));
    assert!(members.opens(NodeId(3), None).unwrap_err().contains("was removed"));
}

#[test]
fn an_address_that_is_taken_is_refused_unless_its_node_is_replaced() {
    let mut members = founded(2);
    let token = token(&mut members, 5);
    let mut command = join(1, token, 10);
    let Response::Refused(why) = members.change(command.clone()) else { panic!() };
    assert!(why.contains("--replace n1"), "{why}");
    if let MemberCommand::Join { replaces, .. } = &mut command {
        *replaces = Some(NodeId(1));
    }
    assert_eq!(members.change(command), Response::Joined(NodeId(3)));
    assert!(members.was_removed(NodeId(1)));
}

#[test]
fn the_first_key_that_a_founder_shows_is_its_own_from_then_on() {
    let mut members = founded(2);
    assert_eq!(members.opens(NodeId(1), Some(key(1))), Ok(true));
    assert_eq!(members.opens(NodeId(1), Some(key(1))), Ok(false));
    assert!(members.opens(NodeId(1), Some(key(2))).is_err());
}

#[test]
fn a_key_is_rotated_by_adding_the_new_one_and_dropping_the_old() {
    let mut members = founded(2);
    let (node, other) = (NodeId(1), NodeId(2));
    for n in 1..=3 {
        assert_eq!(members.change(MemberCommand::AddKey { node, key: key(n) }), Response::Done);
    }
    assert_eq!(members.get(node).unwrap().keys, [key(1), key(3)]);
    let stolen = MemberCommand::AddKey { node: other, key: key(3) };
    assert!(matches!(members.change(stolen), Response::Refused(_)));
    assert_eq!(members.change(MemberCommand::KeepKey { node, key: key(3) }), Response::Done);
    assert_eq!(members.get(node).unwrap().keys, [key(3)]);
    let gone = MemberCommand::KeepKey { node, key: key(1) };
    assert!(matches!(members.change(gone), Response::Refused(_)));
}

#[test]
fn the_authority_is_replaced_one_generation_at_a_time() {
    let mut members = founded(1);
    let mut set = |authority| members.change(MemberCommand::SetAuthority(authority));
    assert!(matches!(set(authority(3, None)), Response::Refused(_)));
    assert_eq!(set(authority(2, Some("cert 1"))), Response::Done);
    assert!(matches!(set(authority(2, Some("cert 0"))), Response::Refused(_)));
    assert_eq!(set(authority(2, None)), Response::Done);
    assert_eq!(members.authority().unwrap().previous, None);
}

#[test]
fn the_last_node_stays() {
    let mut members = founded(1);
    let remove = MemberCommand::Remove { node: NodeId(1) };
    assert!(matches!(members.change(remove), Response::Refused(_)));
    assert_eq!(members.change(MemberCommand::Remove { node: NodeId(7) }), Response::NotFound);
}
