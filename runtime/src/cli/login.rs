/// The person who gives this command: the name that was given, or the login's, also behind sudo.
pub(super) fn name(given: Option<&str>) -> String {
    let login = || ["SUDO_USER", "USER"].iter().find_map(|name| std::env::var(name).ok().filter(|name| !name.is_empty()));
    let name = given.map(str::to_owned).or_else(login);
    let name = name.unwrap_or_else(|| format!("uid {}", rustix::process::getuid().as_raw()));
    name.chars().filter(|c| !c.is_control()).take(64).collect()
}
