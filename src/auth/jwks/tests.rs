//! Sets of keys, good and bad. The keys are examples of RFC 7515, RFC 7517 and RFC 8037.

use super::*;
use serde_json::json;

/// RFC 7515 §A.2.1; without the private members.
const RSA_N: &str = "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrc\
    S2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf6\
    3kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT\
    6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ";

fn rsa() -> Value {
    json!({"kty": "RSA", "n": RSA_N, "e": "AQAB"})
}

/// RFC 7515 §A.3.1.
fn p256() -> Value {
    json!({
        "kty": "EC", "crv": "P-256",
        "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
        "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
    })
}

/// RFC 7515 §A.4.1.
fn p521() -> Value {
    json!({
        "kty": "EC", "crv": "P-521",
        "x": "AekpBQ8ST8a8VcfVOTNl353vSrDCLLJXmPk06wTjxrrjcBpXp5EOnYG_NjFZ6OvLFV1jSfS9tsz4qUx\
              cWceqwQGk",
        "y": "ADSmRA43Z1DSNx_RvcLI87cdL07l6jQyyBXMoxVg_l2Th-x3S1WDhjDly79ajL4Kkd0AZMaZmh9ubmf\
              63e3kyMj2",
    })
}

/// RFC 8037 §A.2.
fn ed25519() -> Value {
    json!({"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"})
}

fn with(mut key: Value, changes: Value) -> Value {
    for (name, value) in changes.as_object().unwrap() {
        key[name] = value.clone();
    }
    key
}

fn parse_keys(keys: &[Value], allowed: &[Algorithm]) -> Result<KeySet, JwksError> {
    parse(json!({ "keys": keys }).to_string().as_bytes(), allowed)
}

/// What a key is bound to, or why it is left out.
fn read_one(key: Value, allowed: &[Algorithm]) -> Result<String, String> {
    match parse_keys(&[key], allowed) {
        Ok(set) => {
            assert!(set.keys.len() == 1 && set.notes.is_empty(), "{set:?}");
            Ok(names(set.keys[0].algorithms()))
        }
        Err(error) => Err(error.to_string()),
    }
}

/// RFC 7515 §A.2, §A.3, §A.4, RFC 8037 §A.4: keys of a set check the examples' signatures.
#[test]
fn the_examples_of_the_standards_fit() {
    let payload = "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19y\
        b290Ijp0cnVlfQ";
    for (key, algorithm, message, signature) in [
        (
            rsa(),
            Algorithm::Rs256,
            format!("eyJhbGciOiJSUzI1NiJ9.{payload}"),
            "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_\
             O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIA\
             RNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPq\
             vhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77\
             Rw",
        ),
        (
            p256(),
            Algorithm::Es256,
            format!("eyJhbGciOiJFUzI1NiJ9.{payload}"),
            "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1\
             Q",
        ),
        (
            p521(),
            Algorithm::Es512,
            "eyJhbGciOiJFUzUxMiJ9.UGF5bG9hZA".to_owned(),
            "AdwMgeerwtHoh-l192l60hp9wAHZFVJbLfD_UxMi70cwnZOYaRI1bKPWROc-mZZqwqT2SI-KGDKB34XO0aw_7X\
             dtAG8GaSwFKdCAPZgoXD2YBJZCPEX3xKpRwcdOO8KpEHwJjyqOgzDO7iKvU8vcnwNrmxYbSW9ERBXukOXolLz\
             eO_Jn",
        ),
        (
            ed25519(),
            Algorithm::EdDsa,
            "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc".to_owned(),
            "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KA\
             g",
        ),
    ] {
        let set = parse_keys(&[key], &[]).unwrap();
        assert!(set.keys[0].fits(algorithm, &message, signature), "{algorithm}");
        assert!(!set.keys[0].fits(algorithm, &message[1..], signature), "{algorithm}");
    }
}

#[test]
fn a_key_is_bound_to_what_it_says_or_what_its_type_allows() {
    use Algorithm::*;
    for (key, allowed, expected) in [
        (rsa(), &[][..], "RS256, RS384, RS512"),
        (rsa(), &[Ps256, Es256], "PS256"),
        (with(rsa(), json!({"alg": "PS512"})), &[], "PS512"),
        (with(rsa(), json!({"alg": "RS256", "use": "sig"})), &[Rs256, Ps256], "RS256"),
        (p256(), &[], "ES256"),
        (p521(), &[Es512], "ES512"),
        (ed25519(), &[], "EdDSA"),
        (with(ed25519(), json!({"alg": "Ed25519"})), &[EdDsa], "EdDSA"),
        (with(p256(), json!({"key_ops": ["sign", "verify"], "x5t": 7, "x5c": []})), &[], "ES256"),
    ] {
        assert_eq!(read_one(key.clone(), allowed).as_deref(), Ok(expected), "{key}");
    }
}

#[test]
fn keys_that_are_not_understood_are_left_out_with_a_reason() {
    use Algorithm::*;
    for (key, allowed, expected) in [
        (json!(7), &[][..], "no JSON object"),
        (json!({}), &[], "`kty` is missing"),
        (json!({"kty": "oct", "k": "AAAA"}), &[], "shared secret (oct)"),
        (json!({"kty": "oct", "k": "AAAA", "alg": "HS256"}), &[Hs256], "shared secret (oct)"),
        (json!({"kty": "AKP", "alg": "ML-DSA-44"}), &[], "`AKP` is not known"),
        (with(p256(), json!({"crv": "secp256k1"})), &[], "`secp256k1` is not known"),
        (with(ed25519(), json!({"crv": "X25519"})), &[], "`X25519` is not known"),
        (with(p256(), json!({"use": "enc"})), &[], "its use is `enc`, not sig"),
        (with(p256(), json!({"use": ["sig"]})), &[], "`use` is missing or of the wrong type"),
        (with(p256(), json!({"key_ops": ["sign"]})), &[], "do not include verify"),
        (with(p256(), json!({"key_ops": "verify"})), &[], "`key_ops`"),
        (with(p256(), json!({"alg": "ECDH-ES"})), &[], "`ECDH-ES` is none"),
        (with(p256(), json!({"alg": "none"})), &[], "`none` is none"),
        (with(p256(), json!({"alg": 5})), &[], "`alg`"),
        (with(p256(), json!({"kid": 5})), &[], "`kid`"),
        (with(p256(), json!({"alg": "ES384"})), &[], "ES384 does not fit a P-256 key"),
        (with(rsa(), json!({"alg": "HS256"})), &[], "HS256 does not fit an RSA key"),
        (p256(), &[Es384, EdDsa], "it is for ES256, and the configuration allows this set ES384"),
        (with(rsa(), json!({"alg": "RS256"})), &[Ps256], "it is for RS256"),
        (with(p256(), json!({"x": "AAAA"})), &[], "cannot be read"),
        // A point that lies not on the curve.
        (with(p256(), json!({"x": "A".repeat(43)})), &[], "cannot be read"),
        (with(p256(), json!({"x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU="})), &[], "`x`"),
        (with(p256(), json!({"y": null})), &[], "`y`"),
        (with(rsa(), json!({"e": ""})), &[], "cannot be read"),
        (with(rsa(), json!({"n": &RSA_N[..172]})), &[], "bits; 2048 to 8192"),
        (with(rsa(), json!({"n": RSA_N.repeat(5)[..1708]})), &[], "bits; 2048 to 8192"),
        (with(ed25519(), json!({"x": "AAAA"})), &[], "cannot be read"),
    ] {
        let refused = read_one(key.clone(), allowed).unwrap_err();
        assert!(refused.contains(expected), "{key}: {refused}");
    }
}

#[test]
fn one_odd_key_does_not_take_the_others_away() {
    let keys = [
        json!({"kty": "X", "kid": "odd\n"}),
        with(p256(), json!({"kid": "a"})),
        with(p256(), json!({"kid": "a"})),
        with(ed25519(), json!({"kid": "a", "d": "secret"})),
    ];
    let KeySet { keys, notes } = parse_keys(&keys, &[]).unwrap();
    assert_eq!(keys.iter().map(|key| key.kid()).collect::<Vec<_>>(), [Some("a"), Some("a")]);
    let [odd, repeated, private] = notes.as_slice() else { panic!("{notes:?}") };
    assert!(odd.starts_with("key 1 (kid `odd"), "{odd}");
    assert!(!odd.contains('\n') && odd.contains("`X` is not known"), "{odd}");
    assert_eq!(repeated, "key 3 (kid `a`): the set has it already");
    assert!(private.starts_with("key 4") && private.contains("private key"), "{private}");
    assert!(!notes.concat().contains("secret"), "{notes:?}");
}

#[test]
fn a_document_is_bounded_and_a_set() {
    let error = |text: &str| parse(text.as_bytes(), &[]).unwrap_err();
    for text in ["[]", "{}", r#"{"keys":{}}"#, r#"{"keys":null}"#, r#"{"Keys":[]}"#] {
        let error = error(text);
        assert!(matches!(error, JwksError::NoKeys | JwksError::Json(_)), "{text}: {error}");
    }
    assert!(matches!(error(r#"{"keys":[],"keys":[]}"#), JwksError::Json(_)));
    assert!(matches!(error(r#"{"keys":[{}"#), JwksError::Json(_)));
    assert!(matches!(error(&"[".repeat(100_000)), JwksError::Json(_)));
    assert_eq!(error(r#"{"keys":[]}"#), JwksError::NothingUsable(vec![]));
    assert!(error(r#"{"keys":[]}"#).to_string().contains("it is empty"));
    let many = error(&json!({"keys": vec![json!({}); 9]}).to_string()).to_string();
    assert_eq!(many.matches("key ").count(), 4, "{many}");
    assert!(many.ends_with("and so on"), "{many}");
    let keys = |count| {
        let keys: Vec<_> =
            (0..count).map(|i| with(p256(), json!({ "kid": i.to_string() }))).collect();
        parse_keys(&keys, &[])
    };
    assert_eq!(keys(KEYS_MAX).unwrap().keys.len(), KEYS_MAX);
    assert_eq!(keys(KEYS_MAX + 1), Err(JwksError::TooMany(KEYS_MAX + 1)));
    let padded = |len: usize| {
        let text = json!({ "keys": [p256()] }).to_string();
        parse(format!("{text}{}", " ".repeat(len - text.len())).as_bytes(), &[])
    };
    assert!(padded(LEN_MAX).is_ok());
    assert_eq!(padded(LEN_MAX + 1), Err(JwksError::TooLong));
}
