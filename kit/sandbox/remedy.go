package sandbox

import (
	"os"
	"strings"
)

// on tells whether a setting of the kernel has a value.
func on(file, value string) bool {
	b, err := os.ReadFile(file)
	return err == nil && strings.TrimSpace(string(b)) == value
}

// AppArmorForbids tells whether the host lets only programs with a profile make
// user namespaces, as Ubuntu does since 23.10
// (https://ubuntu.com/blog/ubuntu-23-10-restricted-unprivileged-user-namespaces).
func AppArmorForbids() bool {
	return on("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1") && os.Geteuid() != 0
}

// AppArmorFile is where the profile of AppArmorProfile belongs.
const AppArmorFile = "/etc/apparmor.d/nullius-bwrap"

// AppArmorProfile lets bubblewrap make user namespaces, and no other program.
func AppArmorProfile() string {
	path, err := findBubblewrap("")
	if err != nil {
		path = "/usr/bin/bwrap"
	}
	return "abi <abi/4.0>,\ninclude <tunables/global>\nprofile nullius-bwrap " + path + " flags=(unconfined) {\n  userns,\n}\n"
}

// remedy turns bubblewrap's complaint into the command that mends it.
func remedy(complaint string) string {
	switch {
	case on("/proc/sys/kernel/unprivileged_userns_clone", "0"):
		return "sudo sysctl -w kernel.unprivileged_userns_clone=1"
	case on("/proc/sys/user/max_user_namespaces", "0"):
		return "sudo sysctl -w user.max_user_namespaces=15000"
	case AppArmorForbids():
		return "sudo apparmor_parser -r " + AppArmorFile + " (nullius doctor prints what to write there)"
	case strings.Contains(complaint, "Unknown option"):
		return "install bubblewrap 0.8 or later"
	}
	return "run on a host or in a container that allows user namespaces and an unmasked /proc"
}

// HardMemory tells whether a cgroup can limit the memory of runs here; if not,
// the reasons.
func HardMemory() (bool, []string) {
	name, err := groupName()
	if err != nil {
		return false, []string{err.Error()}
	}
	g, why := findGroups(name)
	defer g.close()
	return g.wall() != WallWatchdog, why
}
