package machine

import (
	"strconv"
	"strings"
)

// mounted is a line of /proc/self/mountinfo (proc(5)).
type mounted struct {
	device string // major:minor, as below /sys/dev/block
	point  string
	fsType string
	source string
	// flags are the mount's own options, super those of its file system.
	flags, super []string
}

// readMounts reads /proc/self/mountinfo. A line that is none is skipped.
func readMounts(text string) []mounted {
	var all []mounted
	for line := range strings.Lines(text) {
		before, after, ok := strings.Cut(strings.TrimSuffix(line, "\n"), " - ")
		left, right := strings.Fields(before), strings.Fields(after)
		if !ok || len(left) < 6 || len(right) < 2 {
			continue
		}
		m := mounted{
			device: left[2], point: unescapeMount(left[4]), fsType: right[0], source: unescapeMount(right[1]),
			flags: strings.Split(left[5], ","),
		}
		if len(right) > 2 {
			m.super = strings.Split(right[2], ",")
		}
		all = append(all, m)
	}
	return all
}

// unescapeMount takes the octal escapes of blanks and backslashes out.
func unescapeMount(text string) string {
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		if text[i] == '\\' && i+3 < len(text) {
			if n, err := strconv.ParseUint(text[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(n))
				i += 3
				continue
			}
		}
		b.WriteByte(text[i])
	}
	return b.String()
}

// mountOf is what a path lies on: the longest mount point, and of several on
// one the last.
func mountOf(all []mounted, path string) (mounted, bool) {
	var best mounted
	found := false
	for _, m := range all {
		under := m.point == path || m.point == "/" || strings.HasPrefix(path, m.point+"/")
		if under && len(m.point) >= len(best.point) {
			best, found = m, true
		}
	}
	return best, found
}
