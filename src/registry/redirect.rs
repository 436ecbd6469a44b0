//! Redirects (RFC 9110, section 15.4). They are followed by us and not by the HTTP library, so that every hop is made anew: what
//! authorises a request goes only to the place that it is for, and a body is sent again from its source.

use reqwest::header::LOCATION;
use reqwest::{Response, StatusCode, Url};

use super::Error;

/// No chain of redirects is longer.
const MOST: u32 = 5;

/// Whether a request only reads.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Method {
    /// GET and HEAD: every redirect is followed.
    Reading,
    /// Others: only a redirect that keeps the method is followed.
    Fixed,
}

/// Where the request is to be made again, after `hops` redirects.
///
/// # Errors
/// Too many redirects, and one from HTTPS to anything else.
pub(super) fn next(what: &str, answer: &Response, method: Method, hops: u32) -> Result<Option<Url>, Error> {
    let Some(location) = answer.headers().get(LOCATION).filter(|_| is_redirect(answer.status(), method)) else {
        return Ok(None);
    };
    let url = location.to_str().ok().and_then(|text| answer.url().join(text).ok());
    let url = url.ok_or_else(|| Error::protocol(what, "it redirects to what is no address"))?;
    if hops >= MOST {
        return Err(Error::protocol(what, "too many redirects"));
    }
    safe(what, answer.url(), url).map(Some)
}

/// Refuses to go from HTTPS to plain HTTP, and to anything that is neither.
pub(super) fn safe(what: &str, from: &Url, to: Url) -> Result<Url, Error> {
    let is_downgrade = from.scheme() == "https" && to.scheme() != "https";
    if is_downgrade || !matches!(to.scheme(), "https" | "http") {
        let why =
            format!("it sends us from {}:// to {}://{}, which is not safe", from.scheme(), to.scheme(), host(&to));
        return Err(Error::protocol(what, why));
    }
    Ok(to)
}

fn host(url: &Url) -> &str {
    url.host_str().unwrap_or_default()
}

fn is_redirect(status: StatusCode, method: Method) -> bool {
    let keeps_method = matches!(status, StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT);
    let any = matches!(status, StatusCode::MOVED_PERMANENTLY | StatusCode::FOUND | StatusCode::SEE_OTHER);
    keeps_method || any && method == Method::Reading
}
