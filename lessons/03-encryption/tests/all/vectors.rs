//! The standards' own test vectors, on the primitives that the lesson stands on.

use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use careful_encryption::signing::SigningKey;
use encryption::lab::careless;
use encryption::lab::gcm::{Block, OneBlock};
use hpke::aead::AesGcm128;
use hpke::kdf::HkdfSha256;
use hpke::kem::X25519HkdfSha256;
use hpke::{Deserializable, Kem, OpModeR};
use zeroize::Zeroizing;

type TestResult = Result<(), Box<dyn std::error::Error>>;

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
    let pair = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).expect("ASCII"), 16);
    digits.chunks(2).map(|digits| pair(digits).expect("hexadecimal")).collect()
}

fn array<const N: usize>(hex: &str) -> [u8; N] {
    bytes(hex).try_into().expect("the right length")
}

/// McGrew and Viega, "The Galois/Counter Mode of Operation", the proposal to NIST that became
/// SP 800-38D: appendix B, test cases 13 to 15 (AES-256, no associated data).
#[test]
fn aes_256_gcm_gives_the_ciphertexts_of_its_specification() -> TestResult {
    let zero = ([0; 32], [0; 12]);
    let key = array("feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308");
    let nonce = array("cafebabefacedbaddecaf888");
    let text = bytes(
        "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72
         1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b391aafd255",
    );
    let cases = [
        (zero, vec![], "530f8afbc74536b9a963b4f1c4cb738b"),
        (zero, vec![0; 16], "cea7403d4d606b6e074ec5d3baf39d18 d0d1c8a799996bf0265b98b5d48ab919"),
        (
            (key, nonce),
            text,
            "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa
             8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662898015ad
             b094dac5d93471bdec1a502270e3cc6c",
        ),
    ];
    for ((key, nonce), text, sealed) in cases {
        let expected = bytes(sealed);
        assert_eq!(careless::seal(&key, &nonce, &text).map_err(|_| "sealed")?, expected);
        assert_eq!(careless::open(&key, &nonce, &expected).map_err(|_| "opened")?, text);
    }
    Ok(())
}

/// The attack's arithmetic is GCM's: H of test case 14 is AES-256 of the zero block under the zero
/// key, and its tag is C·H² ⊕ L·H ⊕ E, with E the tag of the empty message of case 13.
#[test]
fn the_fields_arithmetic_is_that_of_gcm() -> TestResult {
    let h = Block::new(array("dc95c078a2408989ad48a21492842087"));
    let sealed = bytes("cea7403d4d606b6e074ec5d3baf39d18 d0d1c8a799996bf0265b98b5d48ab919");
    let message = OneBlock::new(&sealed).ok_or("one block")?;
    let e = Block::new(array("530f8afbc74536b9a963b4f1c4cb738b"));
    let length = Block(128);
    assert_eq!(((message.ciphertext * h * h) ^ (length * h)) ^ e, message.tag);
    Ok(())
}

/// RFC 9180, appendix A.1.1: DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, AES-128-GCM, base mode, the
/// first message.
#[test]
fn hpke_opens_the_message_of_its_standard() -> TestResult {
    let private = bytes("4612c550263fc8ad58375df3f557aac531d26850903e55a9f23f21d8534e8ac8");
    let encapsulated = bytes("37fda3567bdbd628e88668c3c8d7e97d1d1253b6d4ea6d44c150f741f1bf4431");
    let sealed = bytes(
        "f938558b5d72f1a23810b4be2ab4f84331acc02fc97babc53a52ae8218a355a9
         6d8770ac83d07bea87e13c512a",
    );
    let private =
        <X25519HkdfSha256 as Kem>::PrivateKey::from_bytes(&private).map_err(|_| "a key")?;
    let encapsulated =
        <X25519HkdfSha256 as Kem>::EncappedKey::from_bytes(&encapsulated).map_err(|_| "a key")?;
    let opened = hpke::single_shot_open::<AesGcm128, HkdfSha256, X25519HkdfSha256>(
        &OpModeR::Base,
        &private,
        &encapsulated,
        b"Ode on a Grecian Urn",
        &sealed,
        b"Count-0",
    );
    assert_eq!(opened.map_err(|_| "opened")?, b"Beauty is truth, truth beauty");
    Ok(())
}

/// RFC 8032, section 7.1, tests 1 and 2.
#[test]
fn ed25519_gives_the_keys_and_takes_the_signatures_of_its_standard() -> TestResult {
    let cases = [
        (
            "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
            "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
            vec![],
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e3970
             1cf9b46bd25bf5f0595bbe24655141438e7a100b",
        ),
        (
            "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
            "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
            vec![0x72],
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613
             d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
        ),
    ];
    for (seed, public, text, signature) in cases {
        let key = SigningKey::from_seed(&Zeroizing::new(array(seed)))?;
        assert_eq!(key.public().to_bytes(), array::<32>(public));
        let verified =
            UnparsedPublicKey::new(&ED25519, bytes(public)).verify(&text, &bytes(signature));
        assert!(verified.is_ok(), "{public}");
    }
    Ok(())
}
