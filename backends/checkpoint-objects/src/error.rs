//! What an object store has refused, in the words of the core.

use millstream_checkpoint::storage::Cause;
use object_store::Error;

pub(crate) fn cause(error: &Error) -> Cause {
    let text = words(error);
    let is_of = |codes: &[&str]| codes.iter().any(|code| text.contains(code));
    let message = match error {
        Error::AlreadyExists { .. } | Error::Precondition { .. } => return Cause::Exists,
        _ if is_of(&["NoSuchBucket"]) => {
            "there is no such bucket: create it, or name another".to_owned()
        }
        Error::NotFound { .. } => return Cause::NotFound,
        Error::PermissionDenied { .. } | Error::Unauthenticated { .. } => refusal(&text),
        _ if is_of(&[
            "SignatureDoesNotMatch",
            "InvalidAccessKeyId",
            "AccessDenied",
            "NotSignedUp",
        ]) =>
        {
            refusal(&text)
        }
        _ if is_of(&["error sending request", "client error (Connect)", "169.254.169.254"]) => {
            format!(
                "the object store cannot be reached: {text}: look at AWS_ENDPOINT_URL and the network, \
                 and that AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are set"
            )
        }
        _ => text,
    };
    Cause::System { errno: None, message }
}

fn refusal(text: &str) -> String {
    format!(
        "the object store refuses the credentials: look at AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and \
         AWS_REGION, and at what they may do with the bucket ({text})"
    )
}

/// The first and the last cause of an error, without markup and line breaks.
pub(crate) fn words(error: &Error) -> String {
    let mut innermost: &dyn std::error::Error = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    let (outer, inner) = (error.to_string(), innermost.to_string());
    let text = match outer.contains(&inner) {
        true => outer,
        false => format!("{outer}: {inner}"),
    };
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
