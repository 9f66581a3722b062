//! Tests of tokens, keys, nicks and proofs. The keys in `test_keys` were made with
//! `openssl genpkey` and `openssl pkey -pubout` and protect nothing.

use super::*;
use crate::config::{ClientConfig, Config, SubscriptionTokenConfig, TokenConfig, TokenRequest};
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

const KEY: &str = "0123456789abcdef0123456789abcdef";
const RSA: &str = include_str!("test_keys/rsa.pem");
const RSA_PUBLIC: &str = include_str!("test_keys/rsa.pub.pem");
const P256: &str = include_str!("test_keys/p256.pem");
const P256_PUBLIC: &str = include_str!("test_keys/p256.pub.pem");
const P384: &str = include_str!("test_keys/p384.pem");
const P384_PUBLIC: &str = include_str!("test_keys/p384.pub.pem");

const P521: &str = include_str!("test_keys/p521.pem");
const P521_PUBLIC: &str = include_str!("test_keys/p521.pub.pem");

/// Another library's token for user 42, signed with our key on P-521.
const ES512_TOKEN: &str = include_str!("test_keys/es512.jwt");

/// A clock that has not moved.
const NOW: u64 = 1_000;

fn private(algorithm: Algorithm) -> EncodingKey {
    match algorithm {
        Algorithm::RS256 | Algorithm::RS384 | Algorithm::RS512 | Algorithm::PS256 => {
            EncodingKey::from_rsa_pem(RSA.as_bytes()).unwrap()
        }
        Algorithm::ES256 => EncodingKey::from_ec_pem(P256.as_bytes()).unwrap(),
        Algorithm::ES384 => EncodingKey::from_ec_pem(P384.as_bytes()).unwrap(),
        _ => EncodingKey::from_secret(KEY.as_bytes()),
    }
}

fn signed(header: &Header, claims: &Value) -> String {
    encode(header, claims, &private(header.alg)).unwrap()
}

fn token(algorithm: Algorithm, claims: Value) -> String {
    signed(&Header::new(algorithm), &claims)
}

fn hs256(claims: Value) -> String {
    token(Algorithm::HS256, claims)
}

fn verifier(change: impl FnOnce(&mut ClientConfig)) -> Verifier {
    let mut config = Config::default();
    change(&mut config.client);
    config.validate().unwrap();
    Verifier::new(&config.client, &KeySets::default())
}

fn with_secret() -> Verifier {
    verifier(|c| c.token.hmac_secret_key = KEY.into())
}

fn with_set(keys: &Value) -> Verifier {
    let connection = Some(Arc::new(KeySet::parse(&json!({ "keys": keys }).to_string()).unwrap()));
    Verifier::new(&ClientConfig::default(), &KeySets { connection, ..KeySets::default() })
}

/// The public part of our key for `algorithm`, as a key set shows it.
fn jwk(algorithm: Algorithm, kid: &str, change: impl FnOnce(&mut Value)) -> Value {
    let jwk = Jwk::from_encoding_key(&private(algorithm), algorithm).unwrap();
    let mut value = serde_json::to_value(jwk).unwrap();
    value["kid"] = kid.into();
    value["use"] = "sig".into();
    change(&mut value);
    value
}

fn named(algorithm: Algorithm, kid: &str, claims: Value) -> String {
    signed(&Header { kid: Some(kid.into()), ..Header::new(algorithm) }, &claims)
}

#[test]
fn connection_tokens() {
    let verifier = with_secret();
    let good = hs256(json!({"sub":"42","exp":NOW + 1,"info":{"n":1}}));
    let user = verifier.connection(&good, NOW).unwrap();
    let expected = User {
        id: "42".into(),
        info: Some("{\"n\":1}".into()),
        expires_at: Some(NOW + 1),
        extra: None,
    };
    assert_eq!(user, expected);
    assert_eq!(verifier.connection(&good, NOW + 1), Err(TokenError::Expired));
    let other = verifier_with_key("another-key-another-key-another-key");
    assert_eq!(other.connection(&good, NOW), Err(TokenError::Invalid));
    assert_eq!(without_a_key().connection(&good, NOW), Err(TokenError::Invalid));
    for (claims, expected) in [
        (json!({}), Ok("")),
        (json!({"sub":""}), Ok("")),
        (json!({"sub":"~bob"}), Err(TokenError::Invalid)),
        (json!({"sub":"a\nb"}), Err(TokenError::Invalid)),
        (json!({"sub":42}), Err(TokenError::Invalid)),
        (json!({"sub":"a","exp":NOW}), Err(TokenError::Expired)),
        (json!({"sub":"a","exp":NOW as f64 + 0.5}), Err(TokenError::Expired)),
        (json!({"sub":"a","exp":NOW as f64 + 1.5}), Ok("a")),
        (json!({"sub":"a","exp":-1}), Err(TokenError::Expired)),
        (json!({"sub":"a","exp":0}), Err(TokenError::Expired)),
        (json!({"sub":"a","exp":"tomorrow"}), Err(TokenError::Invalid)),
        (json!({"sub":"a","nbf":NOW}), Ok("a")),
        (json!({"sub":"a","nbf":NOW + 1}), Err(TokenError::Expired)),
        (json!({"sub":"a","channels":"b"}), Err(TokenError::Invalid)),
        (json!({"sub":"a","channel":"b"}), Err(TokenError::Invalid)),
        (json!({"sub":"a","channel":""}), Ok("a")),
        (json!(["sub", "a"]), Err(TokenError::Invalid)),
    ] {
        let got = verifier.connection(&hs256(claims.clone()), NOW).map(|user| user.id.to_string());
        assert_eq!(got, expected.map(str::to_owned), "{claims}");
    }
}

fn verifier_with_key(key: &str) -> Verifier {
    verifier(|c| c.token.hmac_secret_key = key.into())
}

/// Nothing can be signed for it.
fn without_a_key() -> Verifier {
    verifier(|_| {})
}

#[test]
fn a_connection_may_outlive_its_token() {
    let verifier = with_secret();
    for (claims, expected) in [
        (json!({}), None),
        (json!({"exp":NOW + 1}), Some(NOW + 1)),
        (json!({"exp":NOW + 1,"expire_at":NOW + 9}), Some(NOW + 9)),
        (json!({"exp":NOW + 1,"expire_at":0}), None),
        (json!({"expire_at":NOW + 9}), Some(NOW + 9)),
        (json!({"exp":NOW + 1,"expire_at":null}), Some(NOW + 1)),
    ] {
        let user = verifier.connection(&hs256(claims.clone()), NOW).unwrap();
        assert_eq!(user.expires_at, expected, "{claims}");
    }
    for over in [json!({"expire_at":NOW}), json!({"exp":NOW + 1,"expire_at":NOW - 1})] {
        assert_eq!(verifier.connection(&hs256(over), NOW), Err(TokenError::Ended));
    }
    let late = hs256(json!({"exp":NOW,"expire_at":NOW + 9}));
    assert_eq!(verifier.connection(&late, NOW), Err(TokenError::Expired));
}

#[test]
fn payloads_of_tokens() {
    let verifier = with_secret();
    let deep = format!("{}{}", "[".repeat(65), "]".repeat(65));
    for (claims, expected) in [
        (json!({}), Ok(None)),
        (json!({"info":null}), Ok(None)),
        (json!({"info":"x"}), Ok(Some("\"x\""))),
        (json!({"info":1,"b64info":""}), Ok(Some("1"))),
        (json!({"info":1,"b64info":"eyJhIjoKMX0="}), Ok(Some("{\"a\":1}"))),
        // Bytes that are no JSON.
        (json!({"b64info":"//4="}), Ok(Some("\"//4=\""))),
        (json!({"b64info":"not base64!"}), Err(TokenError::Invalid)),
        (json!({"info":serde_json::from_str::<Value>(&deep).unwrap()}), Err(TokenError::Invalid)),
    ] {
        let got = verifier.connection(&hs256(claims.clone()), NOW);
        let got = got.map(|user| user.info.map(String::from));
        assert_eq!(got, expected.map(|info| info.map(str::to_owned)), "{claims}");
    }
}

#[test]
fn rooms_that_the_server_joins() {
    let claims = json!({
        "sub": "42",
        "channels": ["news", "chat:a"],
        "subs": {
            "chat:a": {"info": {"r":1}, "data": {"w":2}, "override": {
                "presence": {"value": false}, "join_leave": {"value": true},
                "force_recovery": {}, "unknown": 1,
            }},
            "chat:b": {"b64data": "MQ=="},
        },
        "meta": {"secret": 1},
    });
    let extra = *with_secret().connection(&hs256(claims), NOW).unwrap().extra.unwrap();
    assert_eq!(extra.meta.as_deref(), Some("{\"secret\":1}"));
    let rooms: Vec<&str> = extra.subs.iter().map(|sub| &*sub.room).collect();
    assert_eq!(rooms, ["chat:a", "chat:b", "news"]);
    let expected = SubscriptionGrant {
        info: Some("{\"r\":1}".into()),
        data: Some("{\"w\":2}".into()),
        expires_at: None,
        overrides: Overrides {
            presence: Some(false),
            join_leave: Some(true),
            force_recovery: Some(false),
            ..Overrides::default()
        },
    };
    assert_eq!(extra.subs[0].grant, expected);
    assert_eq!(extra.subs[1].grant.data.as_deref(), Some("1"));
    assert_eq!(extra.subs[2].grant, SubscriptionGrant::default());
}

#[test]
fn subscription_tokens() {
    let verifier = with_secret();
    let check = |claims: Value, user: &str, room: &str| {
        verifier.subscription(&hs256(claims), user, room, NOW)
    };
    let claims = json!({"sub":"42","channel":"$a","exp":NOW + 1,"info":{"i":1},"data":{"d":2}});
    let expected = SubscriptionGrant {
        info: Some("{\"i\":1}".into()),
        data: Some("{\"d\":2}".into()),
        expires_at: Some(NOW + 1),
        overrides: Overrides::default(),
    };
    assert_eq!(check(claims.clone(), "42", "$a"), Ok(expected));
    assert_eq!(check(claims.clone(), "43", "$a"), Err(TokenError::Invalid));
    assert_eq!(check(claims.clone(), "", "$a"), Err(TokenError::Invalid));
    assert_eq!(check(claims, "42", "$b"), Err(TokenError::Invalid));
    assert!(check(json!({"channel":"$a"}), "", "$a").is_ok());
    assert_eq!(check(json!({"channel":"$a"}), "42", "$a"), Err(TokenError::Invalid));
    assert_eq!(check(json!({"sub":"42"}), "42", "$a"), Err(TokenError::Invalid));
    let once = json!({"channel":"$a","exp":NOW + 1,"expire_at":0});
    assert_eq!(check(once, "", "$a").map(|grant| grant.expires_at), Ok(None));
    assert_eq!(check(json!({"channel":"$a","exp":NOW}), "", "$a"), Err(TokenError::Expired));
}

#[test]
fn subscription_tokens_may_have_keys_of_their_own() {
    let other = "another-key-another-key-another-key";
    let verifier = verifier(|client| {
        client.token.hmac_secret_key = KEY.into();
        client.subscription_token = SubscriptionTokenConfig {
            enabled: true,
            token: TokenConfig { hmac_secret_key: other.into(), ..TokenConfig::default() },
        };
    });
    let key = EncodingKey::from_secret(other.as_bytes());
    let by_other = |claims: Value| encode(&Header::default(), &claims, &key).unwrap();
    let (connects, subscribes) = (json!({"sub":"42"}), json!({"sub":"42","channel":"$a"}));
    assert!(verifier.subscription(&by_other(subscribes.clone()), "42", "$a", NOW).is_ok());
    assert!(verifier.subscription(&hs256(subscribes), "42", "$a", NOW).is_err());
    assert!(verifier.connection(&by_other(connects.clone()), NOW).is_err());
    assert!(verifier.connection(&hs256(connects), NOW).is_ok());
}

#[test]
fn audience_and_issuer() {
    let verifier = verifier(|client| {
        client.token.hmac_secret_key = KEY.into();
        client.token.audience = "ringchat".into();
        client.token.issuer = "app".into();
    });
    for (claims, good) in [
        (json!({"aud":"ringchat","iss":"app"}), true),
        (json!({"aud":["other","ringchat"],"iss":"app"}), true),
        (json!({"aud":"Ringchat","iss":"app"}), false),
        (json!({"aud":["other"],"iss":"app"}), false),
        (json!({"aud":[],"iss":"app"}), false),
        (json!({"iss":"app"}), false),
        (json!({"aud":"ringchat"}), false),
        (json!({"aud":"ringchat","iss":"app2"}), false),
        (json!({"aud":"ringchat","iss":["app"]}), false),
    ] {
        let result = verifier.connection(&hs256(claims.clone()), NOW);
        assert_eq!(result.is_ok(), good, "{claims}");
    }
    // What is not asked for is not looked at.
    assert!(with_secret().connection(&hs256(json!({"aud":"x","iss":"y"})), NOW).is_ok());
}

#[test]
fn an_algorithm_takes_a_key_of_its_own_kind() {
    use Algorithm::{ES256, ES384, HS256, HS384, HS512, PS256, RS256, RS384, RS512};
    let all = [HS256, HS384, HS512, RS256, RS384, RS512, ES256, ES384, PS256];
    let secret = with_secret();
    let rsa = verifier(|client| client.token.rsa_public_key = RSA_PUBLIC.into());
    let p256 = verifier(|client| client.token.ecdsa_public_key = P256_PUBLIC.into());
    let p384 = verifier(|client| client.token.ecdsa_public_key = P384_PUBLIC.into());
    for algorithm in all {
        let token = token(algorithm, json!({"sub":"42"}));
        for (verifier, takes) in [
            (&secret, &[HS256, HS384, HS512][..]),
            (&rsa, &[RS256, RS384, RS512]),
            (&p256, &[ES256]),
            (&p384, &[ES384]),
        ] {
            let good = verifier.connection(&token, NOW).is_ok();
            assert_eq!(good, takes.contains(&algorithm), "{algorithm:?} with {takes:?}");
        }
    }
    // The public key, which anybody may know, as a secret.
    for public in [RSA_PUBLIC, RSA_PUBLIC.trim(), P256_PUBLIC] {
        let key = EncodingKey::from_secret(public.as_bytes());
        let forged = encode(&Header::new(HS256), &json!({"sub":"42"}), &key).unwrap();
        for verifier in [&rsa, &p256] {
            assert_eq!(verifier.connection(&forged, NOW), Err(TokenError::Invalid));
        }
    }
    // {"alg":"none"}
    let none = "eyJhbGciOiJub25lIn0.eyJzdWIiOiI0MiJ9.";
    assert_eq!(secret.connection(none, NOW), Err(TokenError::Invalid));
    // An extension that we do not know, and that the token says must be known.
    let critical = Header { crit: Some(vec!["b64".into()]), ..Header::new(HS256) };
    assert!(secret.connection(&signed(&critical, &json!({"sub":"42"})), NOW).is_err());
}

/// A token whose header is `header`, signed with ES512.
fn es512(header: &Value, claims: &Value) -> String {
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
    use p521::ecdsa::signature::Signer;
    use p521::ecdsa::{Signature, SigningKey};
    use p521::pkcs8::DecodePrivateKey;
    let key = p521::SecretKey::from_pkcs8_pem(P521).unwrap();
    let key = SigningKey::from_slice(&key.to_bytes()).unwrap();
    let [header, claims] = [header, claims].map(|part| BASE64.encode(part.to_string()));
    let signed = format!("{header}.{claims}");
    let signature: Signature = key.sign(signed.as_bytes());
    format!("{signed}.{}", BASE64.encode(signature.to_bytes()))
}

/// Our key on P-521 as a key set shows it.
fn p521_jwk(kid: &str) -> Value {
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
    let key = jsonwebtoken::DecodingKey::from_ec_pem(P521_PUBLIC.as_bytes()).unwrap();
    let (x, y) = key.as_bytes()[1..].split_at(66);
    let (x, y) = (BASE64.encode(x), BASE64.encode(y));
    json!({"kty": "EC", "crv": "P-521", "kid": kid, "x": x, "y": y})
}

#[test]
fn es512_tokens() {
    let verifier = verifier(|client| client.token.ecdsa_public_key = P521_PUBLIC.into());
    let good = es512(&json!({"alg":"ES512","typ":"JWT"}), &json!({"sub":"42","exp":NOW + 1}));
    for token in [good.as_str(), ES512_TOKEN.trim()] {
        assert_eq!(&*verifier.connection(token, NOW).unwrap().id, "42");
        let (signed, signature) = token.rsplit_once('.').unwrap();
        let other = if signature.starts_with('A') { "B" } else { "A" };
        for bad in [
            format!("{signed}."),
            format!("{signed}.{other}{}", &signature[1..]),
            format!("{signed}.{}", &signature[..88]),
            format!("{}A.{signature}", &signed[..signed.len() - 1]),
            format!("{signed}.{signature}.{signature}"),
        ] {
            assert_eq!(verifier.connection(&bad, NOW), Err(TokenError::Invalid), "{bad}");
        }
        // Its keys are no others' keys.
        for key in [P256_PUBLIC, P384_PUBLIC] {
            let other = self::verifier(|client| client.token.ecdsa_public_key = key.into());
            assert_eq!(other.connection(token, NOW), Err(TokenError::Invalid));
        }
        assert_eq!(with_secret().connection(token, NOW), Err(TokenError::Invalid));
    }
    assert_eq!(verifier.connection(&good, NOW + 1), Err(TokenError::Expired));
    for header in [
        json!({"alg":"ES256"}),
        json!({"alg":"ES384"}),
        json!({"alg":"HS512"}),
        json!({"alg":"ES513"}),
        json!({"alg":"none"}),
        json!({"alg":"ES512","crit":["b64"]}),
    ] {
        let bad = es512(&header, &json!({"sub":"42"}));
        assert_eq!(verifier.connection(&bad, NOW), Err(TokenError::Invalid), "{header}");
    }
    for algorithm in [Algorithm::ES256, Algorithm::ES384, Algorithm::HS512] {
        assert!(verifier.connection(&token(algorithm, json!({"sub":"42"})), NOW).is_err());
    }

    let named = |key: Value| {
        let set = with_set(&json!([key, jwk(Algorithm::ES384, "other", |_| {})]));
        let header = json!({"alg":"ES512","kid":"k"});
        set.connection(&es512(&header, &json!({"sub":"42"})), NOW).map(|user| user.id)
    };
    let with = |name: &str, value: &str| {
        let mut key = p521_jwk("k");
        key[name] = value.into();
        key
    };
    assert_eq!(named(p521_jwk("k")), Ok("42".into()));
    assert_eq!(named(with("alg", "ES512")), Ok("42".into()));
    assert!(named(with("alg", "ES384")).is_err());
    assert!(named(with("crv", "P-384")).is_err());
    assert!(named(with("x", "AAAA")).is_err(), "no point of the curve");
    assert!(named(with("use", "enc")).is_err());
}

#[test]
fn key_sets() {
    use Algorithm::{ES256, ES384, HS256, PS256, RS256, RS384};
    let claims = || json!({"sub":"42"});
    let verifier = with_set(&json!([
        jwk(RS256, "rsa", |_| {}),
        jwk(RS256, "any-rsa", |key| _ = key.as_object_mut().unwrap().remove("alg")),
        jwk(ES256, "p256", |_| {}),
        jwk(ES384, "p384", |_| {}),
        jwk(ES256, "encrypts", |key| key["use"] = "enc".into()),
        jwk(HS256, "oct", |_| {}),
        {"kty": "OKP", "crv": "X25519", "kid": "x", "x": "AAAA"},
        {"kty": "a kind of the future", "kid": "y"},
        7,
    ]));
    for (algorithm, kid, good) in [
        (RS256, "rsa", true),
        (RS384, "rsa", false),
        (PS256, "rsa", false),
        (RS256, "any-rsa", true),
        (RS384, "any-rsa", true),
        (PS256, "any-rsa", false),
        (ES256, "p256", true),
        (ES384, "p384", true),
        (ES256, "p384", false),
        (RS256, "p256", false),
        (ES256, "encrypts", false),
        (HS256, "oct", false),
        (RS256, "unknown", false),
    ] {
        let result = verifier.connection(&named(algorithm, kid, claims()), NOW);
        assert_eq!(result.is_ok(), good, "{algorithm:?} {kid}");
    }
    assert!(verifier.connection(&token(RS256, claims()), NOW).is_err(), "it names no key");

    for (set, expected) in [
        ("", "this is no JWKS"),
        ("{}", "missing field `keys`"),
        ("{\"keys\":[]}", "none of the 0 key(s)"),
    ] {
        let error = KeySet::parse(set).unwrap_err();
        assert!(error.contains(expected), "{set}: {error}");
    }
    let unusable = [
        jwk(RS256, "", |_| {}),
        jwk(RS256, "short", |key| key["n"] = "AQAB".into()),
        jwk(RS256, "signs", |key| key["key_ops"] = json!(["sign"])),
        jwk(RS256, "pss", |key| key["alg"] = "PS256".into()),
    ];
    for key in unusable {
        let text = json!({ "keys": [&key] }).to_string();
        assert!(KeySet::parse(&text).is_err(), "{key}");
    }
}

#[test]
fn a_key_that_the_set_does_not_have_may_come() {
    use Algorithm::{ES256, HS256, RS256};
    let text = json!({"keys": [jwk(ES256, "one", |_| {})]}).to_string();
    let set = Some(Arc::new(KeySet::parse(&text).unwrap()));
    let asked = Asked { ids: Arc::new(["two".into()].into()), until_s: NOW + 10 };
    let verifier = |asked| {
        let sets = KeySets { connection: set.clone(), asked, ..KeySets::default() };
        Verifier::new(&ClientConfig::default(), &sets)
    };
    let (fresh, asked) = (verifier(Asked::default()), verifier(asked));
    let unknown = |id: &str| Err(TokenError::UnknownKey(id.into()));
    let claims = || json!({"sub":"42","channel":"$a"});
    let long = "k".repeat(KEY_ID_BYTES_MAX + 1);
    for (verifier, algorithm, id, now, expected) in [
        (&fresh, ES256, "two", NOW, unknown("two")),
        (&fresh, RS256, &long[1..], NOW, unknown(&long[1..])),
        // It was looked for, and was not there.
        (&asked, ES256, "two", NOW + 9, Err(TokenError::Invalid)),
        (&asked, ES256, "three", NOW + 9, unknown("three")),
        (&asked, ES256, "two", NOW + 10, unknown("two")),
        // No set would help.
        (&fresh, RS256, "one", NOW, Err(TokenError::Invalid)),
        (&fresh, HS256, "two", NOW, Err(TokenError::Invalid)),
        (&fresh, ES256, &long, NOW, Err(TokenError::Invalid)),
        (&without_a_key(), ES256, "two", NOW, Err(TokenError::Invalid)),
    ] {
        let token = named(algorithm, id, claims());
        assert_eq!(verifier.subscription(&token, "42", "$a", now).map(drop), expected, "{id}");
        assert_eq!(verifier.connection(&token, now).map(drop), expected, "{id}");
    }
    assert_eq!(fresh.connection(&token(ES256, claims()), NOW), Err(TokenError::Invalid), "no id");
}

#[test]
fn issued_tokens_are_taken() {
    let mut config = Config::default().client;
    config.token.hmac_secret_key = KEY.into();
    config.token.audience = "ringchat".into();
    config.token.issuer = "app".into();
    let mut request = TokenRequest {
        user: "42".into(),
        channel: None,
        ttl: Duration::from_secs(60),
        info: Some(json!({"n":1})),
    };
    let verifier = Verifier::new(&config, &KeySets::default());
    let user = verifier.connection(&issue(&config, &request, NOW).unwrap(), NOW).unwrap();
    assert_eq!((&*user.id, user.info.as_deref()), ("42", Some("{\"n\":1}")));
    assert_eq!(user.expires_at, Some(NOW + 60));

    request.ttl = Duration::ZERO;
    request.channel = Some("$a".into());
    let grant =
        verifier.subscription(&issue(&config, &request, NOW).unwrap(), "42", "$a", NOW).unwrap();
    assert_eq!((grant.info.as_deref(), grant.expires_at), (Some("{\"n\":1}"), None));

    config.subscription_token.enabled = true;
    let error = issue(&config, &request, NOW).unwrap_err();
    assert!(error.contains("client.subscription_token.hmac_secret_key is not set"), "{error}");
    request.channel = None;
    config.token.hmac_secret_key.clear();
    let error = issue(&config, &request, NOW).unwrap_err();
    assert!(error.contains("client.token.hmac_secret_key is not set"), "{error}");
}

#[test]
fn a_user_is_small() {
    assert!(size_of::<User>() <= 56, "{}", size_of::<User>());
}

proptest! {
    #[test]
    fn random_tokens_never_verify(text in "\\PC{0,200}", parts in "[A-Za-z0-9_-]{0,80}\\.[A-Za-z0-9_-]{0,80}\\.[A-Za-z0-9_-]{0,90}") {
        for text in [text, parts] {
            prop_assert_eq!(with_secret().connection(&text, NOW), Err(TokenError::Invalid));
            prop_assert!(with_secret().subscription(&text, "42", "a", NOW).is_err());
        }
    }

    #[test]
    fn changed_tokens_never_verify(at in any::<prop::sample::Index>(), with in any::<u8>(), es in any::<bool>()) {
        let algorithm = if es { Algorithm::ES256 } else { Algorithm::HS256 };
        let verifier = verifier(|client| {
            client.token.hmac_secret_key = KEY.into();
            client.token.ecdsa_public_key = P256_PUBLIC.into();
        });
        let good = token(algorithm, json!({"sub":"42"}));
        prop_assert!(verifier.connection(&good, NOW).is_ok());
        let mut bytes = good.clone().into_bytes();
        let at = at.index(bytes.len());
        bytes[at] = with;
        if let Ok(changed) = String::from_utf8(bytes) && changed != good {
            prop_assert_eq!(verifier.connection(&changed, NOW), Err(TokenError::Invalid));
        }
        let cut = &good[..at];
        prop_assert_eq!(verifier.connection(cut, NOW), Err(TokenError::Invalid));
    }

    #[test]
    fn random_key_sets_never_panic(text in "\\PC{0,100}", n in "[A-Za-z0-9_-]{0,400}", e in "[A-Za-z0-9_-]{0,8}") {
        let _ = KeySet::parse(&text);
        let set = json!({"keys":[{"kty":"RSA","kid":"k","n":n,"e":e}]}).to_string();
        if let Ok(set) = KeySet::parse(&set) {
            let sets = KeySets { connection: Some(Arc::new(set)), ..KeySets::default() };
            let verifier = Verifier::new(&ClientConfig::default(), &sets);
            let token = named(Algorithm::RS256, "k", json!({"sub":"42"}));
            prop_assert_eq!(verifier.connection(&token, NOW), Err(TokenError::Invalid));
        }
    }
}

#[test]
fn nicks() {
    for good in ["alice", "Zoë", "李", "a b", "x_1", "👍"] {
        assert!(nick_allowed(good), "{good}");
    }
    for bad in ["", " a", "a ", "~a", "a:b", "a,b", "#a", "a\nb", "a\u{202e}b", "a\u{200b}"] {
        assert!(!nick_allowed(bad), "{bad:?}");
    }
    assert!(nick_allowed(&"é".repeat(32)) && !nick_allowed(&"é".repeat(33)));
}

#[test]
fn proofs() {
    let keys = Keys { hash: [0; 4], resume: [7; 32], epoch: 0 };
    let other = Keys { resume: [8; 32], ..keys };
    let proof = resume_proof(&keys, "alice");
    assert!(resume_proven(&keys, "alice", &proof));
    assert!(!resume_proven(&keys, "bob", &proof) && !resume_proven(&other, "alice", &proof));
    for bad in ["", "zz", "a", "ü", &proof[..10]] {
        assert!(!resume_proven(&keys, "alice", bad));
    }
}
