package machine

import (
	"slices"
	"strconv"
	"strings"
)

// flagWords are the options of mount(8) that every file system has: the flag
// that each sets (or clears, where it ends in "!").
var flagWords = map[string]string{
	"ro": "ro", "rw": "ro!", "nosuid": "nosuid", "suid": "nosuid!", "nodev": "nodev", "dev": "nodev!",
	"noexec": "noexec", "exec": "noexec!", "sync": "sync", "async": "sync!", "dirsync": "dirsync",
	"nodiratime": "nodiratime", "diratime": "nodiratime!", "nosymfollow": "nosymfollow", "symfollow": "nosymfollow!",
	"noatime": "noatime", "atime": "noatime!", "strictatime": "strictatime", "nostrictatime": "strictatime!",
	"relatime": "relatime", "norelatime": "relatime!", "defaults": "",
}

// onlyFstab says whether an option is for who reads fstab, and the kernel never
// sees it.
func onlyFstab(option string) bool {
	return slices.Contains([]string{"auto", "noauto", "nofail", "fail", "_netdev", "user", "users", "nouser", "owner", "group"}, option) ||
		strings.HasPrefix(option, "x-") || strings.HasPrefix(option, "X-") || strings.HasPrefix(option, "comment=")
}

// mountFlags are the flags that options ask for, in force with relatime where
// nothing else is said of access times, as the kernel does.
func mountFlags(options []string) map[string]bool {
	flags := map[string]bool{}
	for _, o := range options {
		switch o { // mount(8): these imply others, that may be taken back after them
		case "user", "users":
			flags["noexec"], flags["nosuid"], flags["nodev"] = true, true, true
		case "owner", "group":
			flags["nosuid"], flags["nodev"] = true, true
		}
		if flag, known := flagWords[o]; known && flag != "" {
			name, clear := strings.CutSuffix(flag, "!")
			delete(flags, name)
			if !clear {
				flags[name] = true
			}
		}
	}
	if flags["noatime"] || flags["strictatime"] {
		delete(flags, "relatime")
	}
	if flags["noatime"] {
		delete(flags, "strictatime")
	}
	if !flags["noatime"] && !flags["strictatime"] {
		flags["relatime"] = true
	}
	return flags
}

// inForce are the options of a mount as mount(8) would have to be told them.
func (m mounted) inForce() []string {
	var all []string
	ro := slices.Contains(m.flags, "ro") || slices.Contains(m.super, "ro")
	if ro {
		all = append(all, "ro")
	} else {
		all = append(all, "rw")
	}
	strict := !slices.Contains(m.flags, "relatime") && !slices.Contains(m.flags, "noatime")
	if strict {
		all = append(all, "strictatime")
	}
	for _, o := range slices.Concat(m.flags, m.super) {
		// seclabel says that there are labels, and cannot be given.
		if o != "ro" && o != "rw" && o != "seclabel" && o != "" && !slices.Contains(all, o) {
			all = append(all, o)
		}
	}
	return all
}

// satisfied says whether a mount has the options that are asked for. What the
// kernel adds by itself is no difference; a flag that is in force and was not
// asked for is one.
func (m mounted) satisfied(asked []string) bool {
	want, have := mountFlags(asked), mountFlags(m.inForce())
	if len(want) != len(have) {
		return false
	}
	for flag := range want {
		if !have[flag] {
			return false
		}
	}
	for _, o := range asked {
		if _, isFlag := flagWords[o]; !isFlag && !onlyFstab(o) && !m.has(o) {
			return false
		}
	}
	return true
}

// has says whether an option of the file system's own is in force. Some file
// systems show all that is not their default, others not even that: there, what
// is not shown is taken to be in force.
func (m mounted) has(option string) bool {
	key, value, hasValue := strings.Cut(option, "=")
	for _, o := range m.super {
		k, v, _ := strings.Cut(o, "=")
		if k == key {
			return sameOption(key, v, value)
		}
	}
	switch {
	case m.fsType != "tmpfs" && m.fsType != "hugetlbfs":
		return true
	case key == "uid" || key == "gid":
		return value == "0" || value == "root"
	case key == "mode":
		usual := map[string]string{"tmpfs": "1777", "hugetlbfs": "755"}
		return sameOption(key, usual[m.fsType], value)
	case key == "size" || key == "pagesize" || key == "min_size":
		return strings.HasSuffix(value, "%")
	}
	return !hasValue
}

// sameOption compares two spellings of a value: sizes have suffixes, which the
// kernel ends its reading at, modes are octal. A percentage is whatever it came
// to.
func sameOption(key, a, b string) bool {
	if a == b {
		return true
	}
	if key == "mode" || strings.HasSuffix(key, "mask") {
		x, err := strconv.ParseUint(a, 8, 32)
		y, err2 := strconv.ParseUint(b, 8, 32)
		return err == nil && err2 == nil && x == y
	}
	if strings.HasSuffix(b, "%") {
		return strings.Contains(key, "size")
	}
	x, ok := optionSize(a)
	y, ok2 := optionSize(b)
	return ok && ok2 && x == y
}

// optionSize is a size in bytes, as the kernel's memparse reads it.
func optionSize(text string) (uint64, bool) {
	digits := strings.TrimRight(text, "kKmMgGtTiIbB")
	n, err := strconv.ParseUint(digits, 10, 64)
	if err != nil {
		return 0, false
	}
	shift := 0
	if rest := strings.ToLower(text[len(digits):]); rest != "" {
		shift = map[byte]int{'k': 10, 'm': 20, 'g': 30, 't': 40}[rest[0]]
	}
	if n > 1<<(63-shift) {
		return 0, false
	}
	return n << shift, true
}

// sameOptions says whether two lists of fstab mean the same.
func sameOptions(a, b []string) bool {
	return slices.Equal(meaning(a), meaning(b))
}

// meaning is a list of fstab without what is the default anyway, sorted.
func meaning(options []string) []string {
	var out []string
	for flag := range mountFlags(options) {
		out = append(out, flag)
	}
	for _, o := range options {
		if _, isFlag := flagWords[o]; isFlag || o == "" || o == "auto" || o == "nouser" {
			continue
		}
		key, value, hasValue := strings.Cut(o, "=")
		if size, ok := optionSize(value); ok && hasValue && strings.HasSuffix(key, "size") {
			o = key + "=" + strconv.FormatUint(size, 10)
		}
		out = append(out, o)
	}
	slices.Sort(out)
	return slices.Compact(out)
}
