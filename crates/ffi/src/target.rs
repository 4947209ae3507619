//! Targets and who asks for them.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::sync::Arc;
use std::thread;

use libmigrate::secret::Secret;
use libmigrate_embed::{CallError, Target, Token};

use crate::border::{Out, c_text, call, callback, free, getter, quietly, text};
use crate::handle::{self, Handle};
use crate::migrate_status::{self, MIGRATE_OK};
use crate::source::User;
use crate::{migrate_error, settings};

/// Where a replica goes. Opening one sends nothing.
pub struct migrate_target(());

/// Who gets tokens of Microsoft Entra ID, for targets that ask for them.
pub struct migrate_token(());

/// A target and its place as C reads it.
pub(crate) struct TargetObject {
    pub(crate) target: Target,
    location: std::ffi::CString,
}

impl Handle for migrate_target {
    type Object = TargetObject;
    const NAME: &'static str = "target";
}

impl Handle for migrate_token {
    type Object = Token;
    const NAME: &'static str = "token";
}

/// A page blob to replicate to. Set all to zero, then `struct_size` to its size, then what is wanted.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct migrate_blob {
    /// sizeof(migrate_blob).
    pub struct_size: usize,
    /// Its URL, with or without a shared access signature.
    pub url: *const c_char,
    /// A shared access signature, or NULL: it is in the URL, a token is given, or extra_json has a `credential`.
    pub sas: *const c_char,
    /// File of more certificates to trust, in PEM, or NULL.
    pub ca_file: *const c_char,
    /// `environment` or a URL; NULL for none.
    pub proxy: *const c_char,
    /// Not 0: bytes may go over the internet. 0: only over a private endpoint.
    pub allow_public_route: i32,
    /// The other settings as a JSON object (`credential`, `private_link`, `max_in_flight`; the guide lists them), or
    /// NULL.
    pub extra_json: *const c_char,
}

impl std::fmt::Debug for migrate_blob {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("migrate_blob").finish_non_exhaustive()
    }
}

/// Gets a token for `scope`: writes it to `token` (at most `token_size` bytes with its zero byte), and the second since
/// 1970 at which it expires to `expires_on`. It is asked for seldom: a token is kept until shortly before its end.
///
/// Returns 0, or anything else if there is none, with the reason, if it likes, in `problem` (at most `problem_size`
/// bytes with its zero byte); the reason must hold no secret.
///
/// Runs on a thread of the library made for it, one call at a time. It may take its time, and may make calls that do
/// not wait.
pub type migrate_token_fn = Option<
    unsafe extern "C" fn(
        user: *mut c_void,
        scope: *const c_char,
        token: *mut c_char,
        token_size: usize,
        expires_on: *mut i64,
        problem: *mut c_char,
        problem_size: usize,
    ) -> c_int,
>;

/// Tells that no callback will get `user` again. Runs once, on a thread of the library.
pub type migrate_ended_fn = Option<unsafe extern "C" fn(user: *mut c_void)>;

/// The callbacks of a token.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct migrate_token_source {
    /// sizeof(migrate_token_source).
    pub struct_size: usize,
    /// What the callbacks get.
    pub user: *mut c_void,
    /// Gets a token.
    pub get: migrate_token_fn,
    /// Runs when no target uses the token any more, or NULL.
    pub ended: migrate_ended_fn,
}

/// Room for a token, and for what a callback says when it fails, zero bytes included.
const TOKEN_BYTES: usize = 32 * 1024;
pub(crate) const PROBLEM_BYTES: usize = 1024;

/// What a callback wrote, up to its zero byte, of which there is one whatever it did.
pub(crate) fn written(buffer: &mut [u8]) -> String {
    if let Some(last) = buffer.last_mut() {
        *last = 0;
    }
    CStr::from_bytes_until_nul(buffer).map(|text| text.to_string_lossy().into_owned()).unwrap_or_default()
}

/// The words of a callback that failed.
pub(crate) fn problem(buffer: &mut [u8], returned: c_int) -> String {
    match written(buffer) {
        words if words.is_empty() => format!("the callback returned {returned}"),
        words => words,
    }
}

/// Makes a credential whose tokens the program gets.
///
/// `token` is the caller's, to be freed by migrate_token_free at any time; targets that were opened with it keep what
/// they need. After MIGRATE_OK, and only then, `ended` will run. Errors: call.argument, call.threads. Never waits.
/// Thread-safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn migrate_token_open(
    callbacks: *const migrate_token_source,
    token: *mut *mut migrate_token,
    error: *mut *mut migrate_error,
) -> migrate_status {
    // SAFETY: the caller keeps the header's rules.
    unsafe {
        call(error, || {
            let out = Out::pointer(token, "token")?;
            let given = settings::read_required(callbacks)?;
            let Some(get) = given.get else { return Err(CallError::argument("token source.get", "it is NULL").into()) };
            let (token, server) = Token::served();
            let user = Arc::new(User::new(given.user, given.ended));
            let serving = Arc::clone(&user);
            let serve = move || {
                let mut buffer = vec![0_u8; TOKEN_BYTES];
                while let Ok(Some(request)) = server.next(None) {
                    let scope = c_text(request.question().join(" "));
                    let (mut words, mut expires) = ([0_u8; PROBLEM_BYTES], 0);
                    let returned = callback(|| {
                        get(
                            serving.user(),
                            scope.as_ptr(),
                            buffer.as_mut_ptr().cast(),
                            buffer.len(),
                            &raw mut expires,
                            words.as_mut_ptr().cast(),
                            words.len(),
                        )
                    });
                    let token = Secret::new(written(&mut buffer));
                    buffer.fill(0);
                    match returned {
                        0 => request.answer((token, expires)),
                        failed => request.fail(problem(&mut words, failed)),
                    }
                }
            };
            thread::Builder::new()
                .name("migrate-token".into())
                .spawn(serve)
                .map_err(|e| CallError::Threads { problem: e.to_string() })?;
            user.arm();
            out.keep(token);
            Ok(MIGRATE_OK)
        })
    }
}

/// Frees a token's handle and sets the variable to NULL. Nothing happens if `token` or what it points to is NULL or
/// freed. Never waits. Thread-safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn migrate_token_free(token: *mut *mut migrate_token) {
    // SAFETY: the caller keeps the header's rules.
    quietly(|| drop(unsafe { free(token) }));
}

/// Opens a target by JSON: an object with `local` (path of a file) or `url` (of a page blob; with `credential`,
/// `private_link`, `proxy`, `ca_file`, `max_in_flight`). `token` is who gets tokens, or NULL.
///
/// `target` is the caller's, to be freed by migrate_target_free. Errors: call.argument, target.*. Sends nothing, never
/// waits. Thread-safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn migrate_target_open(
    settings: *const c_char,
    token: *const migrate_token,
    target: *mut *mut migrate_target,
    error: *mut *mut migrate_error,
) -> migrate_status {
    // SAFETY: the caller keeps the header's rules.
    unsafe {
        call(error, || {
            let out = Out::pointer(target, "target")?;
            out.keep(open(text(settings, "settings")?, token)?);
            Ok(MIGRATE_OK)
        })
    }
}

/// Opens the file at `path` as a target: the replica is a VHD file, its recovery points lie beside it.
///
/// `target` is the caller's, to be freed by migrate_target_free. Errors: call.argument, target.*. Never waits.
/// Thread-safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn migrate_target_local(
    path: *const c_char,
    target: *mut *mut migrate_target,
    error: *mut *mut migrate_error,
) -> migrate_status {
    // SAFETY: the caller keeps the header's rules.
    unsafe {
        call(error, || {
            let out = Out::pointer(target, "target")?;
            let settings = serde_json::json!({ "local": text(path, "path")? });
            out.keep(open(&settings.to_string(), std::ptr::null())?);
            Ok(MIGRATE_OK)
        })
    }
}

/// Opens a page blob as a target. `token` is who gets tokens, or NULL.
///
/// `target` is the caller's, to be freed by migrate_target_free. Errors: call.argument, target.*. Sends nothing, never
/// waits. Thread-safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn migrate_target_blob(
    blob: *const migrate_blob,
    token: *const migrate_token,
    target: *mut *mut migrate_target,
    error: *mut *mut migrate_error,
) -> migrate_status {
    // SAFETY: the caller keeps the header's rules.
    unsafe {
        call(error, || {
            let out = Out::pointer(target, "target")?;
            out.keep(open(&settings::blob(blob)?, token)?);
            Ok(MIGRATE_OK)
        })
    }
}

fn open(settings: &str, token: *const migrate_token) -> Result<TargetObject, libmigrate_embed::Failure> {
    let token = handle::optional(token)?.map(|token| Token::clone(&token));
    let target = Target::open(settings, token)?;
    Ok(TargetObject { location: c_text(target.location()), target })
}

/// Where it is, without secrets.
///
/// Owner: the target; valid until it is freed. NULL if `target` is no target. Thread-safe.
#[unsafe(no_mangle)]
pub extern "C" fn migrate_target_location(target: *const migrate_target) -> *const c_char {
    getter(std::ptr::null(), || Ok(handle::get(target)?.location.as_ptr()))
}

/// Frees a target's handle and sets the variable to NULL; replicas that were opened with it go on. Nothing happens if
/// `target` or what it points to is NULL or freed. Never waits. Thread-safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn migrate_target_free(target: *mut *mut migrate_target) {
    // SAFETY: the caller keeps the header's rules.
    quietly(|| drop(unsafe { free(target) }));
}
