package machine

import "strings"

// What weft has written to /sys and /proc at boot is written by
// systemd-tmpfiles(8), by lines of type w: systemd-tmpfiles-setup.service runs
// them before sysinit.target, which every service is ordered after that does
// not opt out of it, Open vSwitch and libvirt among them. A sysctl.d file would
// be as early, but knows /proc/sys alone; a unit of weft's own would have to
// order itself before each of them by name.

// tmpfilesDirs are where tmpfiles.d(5) looks, first hit first.
var tmpfilesDirs = [...]string{"/etc/tmpfiles.d", "/run/tmpfiles.d", "/usr/local/lib/tmpfiles.d", "/usr/lib/tmpfiles.d"}

const tmpfilesHeader = "# Written by weft; tmpfiles.d(5)."

// tmpfilesLine writes a value to a kernel file, at boot alone ("!"): a run of
// systemd-tmpfiles later, as packages do, changes nothing.
func tmpfilesLine(kernelPath, value string) string {
	return "w! " + kernelPath + " - - - - " + value
}

// tmpfilesWrite reads a line that writes a value to a file; ok is false for all
// others. The letter may carry + (append), - (ignore failure) and ! (boot only).
func tmpfilesWrite(line string) (kernelPath, value string, ok bool) {
	f := strings.Fields(line)
	if len(f) < 7 || strings.Trim(f[0], "+-!") != "w" || f[0][0] != 'w' {
		return "", "", false
	}
	return f[1], strings.Join(f[6:], " "), true
}

// tmpfilesPortion are the lines that write to kernel files of one kind.
func tmpfilesPortion(about func(kernelPath string) bool) portion {
	return portion{
		header: tmpfilesHeader,
		mine: func(line string) (string, bool) {
			name, value, ok := tmpfilesWrite(line)
			return tmpfilesLine(name, value), ok && about(name)
		},
	}
}
