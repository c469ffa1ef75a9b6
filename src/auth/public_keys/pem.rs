//! Public keys in PEM: what `openssl pkey -pubout` writes (`SubjectPublicKeyInfo`, RFC 5280).

use super::PublicKey;
use tokio_rustls::rustls::pki_types::{SubjectPublicKeyInfoDer, pem::PemObject};

const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;

/// rsaEncryption, with its NULL.
const RSA: &[u8] = &[0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00];
/// id-ecPublicKey on prime256v1.
const P256: &[u8] = &[0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
/// id-Ed25519.
const ED25519: &[u8] = &[0x06, 0x03, 0x2b, 0x65, 0x70];

/// All public keys of a text; what is in it besides is left alone.
///
/// # Errors
/// Why one of them cannot be used.
pub fn public_keys(text: &[u8]) -> Result<Vec<PublicKey>, &'static str> {
    SubjectPublicKeyInfoDer::pem_slice_iter(text).map(|key| public_key(&key.map_err(|_| "it is no PEM")?)).collect()
}

fn public_key(der: &[u8]) -> Result<PublicKey, &'static str> {
    let (algorithm, bits) = parts(der).ok_or("it is no public key")?;
    match algorithm {
        RSA => {
            let (n, e) = modulus_and_exponent(bits).ok_or("it is no RSA key")?;
            PublicKey::rsa(n, e)
        }
        P256 => PublicKey::p256(bits),
        ED25519 => PublicKey::ed25519(bits),
        _ => Err("RSA, P-256 and Ed25519 are known"),
    }
}

/// The name of the algorithm, and the key itself.
fn parts(der: &[u8]) -> Option<(&[u8], &[u8])> {
    let (whole, []) = element(SEQUENCE, der)? else { return None };
    let (algorithm, rest) = element(SEQUENCE, whole)?;
    match element(BIT_STRING, rest)? {
        // The first byte counts the bits that are unused in the last one.
        ([0, bits @ ..], []) => Some((algorithm, bits)),
        _ => None,
    }
}

fn modulus_and_exponent(bits: &[u8]) -> Option<(&[u8], &[u8])> {
    let (whole, []) = element(SEQUENCE, bits)? else { return None };
    let (n, rest) = element(INTEGER, whole)?;
    match element(INTEGER, rest)? {
        (e, []) => Some((n, e)),
        _ => None,
    }
}

/// The content of the first element, if it has this tag, and what follows it (DER: ITU-T X.690).
fn element(tag: u8, der: &[u8]) -> Option<(&[u8], &[u8])> {
    let (head, rest) = der.split_first_chunk::<2>()?;
    if head[0] != tag {
        return None;
    }
    let (length, rest) = match head[1] {
        length @ 0..=0x7f => (usize::from(length), rest),
        0x81 => rest.split_first().map(|(length, rest)| (usize::from(*length), rest))?,
        0x82 => rest.split_first_chunk().map(|(length, rest)| (usize::from(u16::from_be_bytes(*length)), rest))?,
        _ => return None,
    };
    rest.split_at_checked(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_cut_off_or_has_too_much_is_no_key() {
        let mut key = vec![SEQUENCE, 42, SEQUENCE, 5];
        key.extend_from_slice(ED25519);
        key.extend_from_slice(&[BIT_STRING, 33, 0]);
        key.extend_from_slice(&[7; 32]);
        assert!(public_key(&key).is_ok());

        for end in 0..key.len() {
            assert!(public_key(&key[..end]).is_err(), "{end}");
        }
        key.push(0);
        assert!(public_key(&key).is_err());
        assert!(public_key(&[SEQUENCE, 0x84, 0xff, 0xff, 0xff, 0xff]).is_err());
    }
}
