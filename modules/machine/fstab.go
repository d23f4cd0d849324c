package machine

import (
	"fmt"
	"strconv"
	"strings"

	"weft/engine/step"
)

const fstabPath = "/etc/fstab"

// fstabEntry is a line of fstab(5).
type fstabEntry struct {
	source, point, fsType string
	options               []string
	dump, pass            int
}

// parseFstab reads a line; ok is false for comments and what is no entry.
func parseFstab(line string) (e fstabEntry, ok bool) {
	f := strings.Fields(line)
	if len(f) < 3 || strings.HasPrefix(f[0], "#") {
		return e, false
	}
	e = fstabEntry{source: unescapeMount(f[0]), point: unescapeMount(f[1]), fsType: f[2]}
	if len(f) > 3 {
		e.options = strings.Split(unescapeMount(f[3]), ",")
	}
	if len(f) > 4 {
		e.dump, _ = strconv.Atoi(f[4]) // what is no number counts as 0
	}
	if len(f) > 5 {
		e.pass, _ = strconv.Atoi(f[5])
	}
	return e, true
}

// line is the entry as fstab has it.
func (e fstabEntry) line() string {
	return fmt.Sprintf("%s %s %s %s %d %d", escapeMount(e.source), escapeMount(e.point), e.fsType, escapeMount(optionList(e.options)), e.dump, e.pass)
}

// escapeMount writes blanks, backslashes and what would begin a comment as
// octal escapes.
func escapeMount(text string) string {
	return strings.NewReplacer(" ", `\040`, "\t", `\011`, "\n", `\012`, `\`, `\134`, "#", `\043`).Replace(text)
}

// optionList are options as mount(8) takes them.
func optionList(options []string) string {
	if len(options) == 0 {
		return "defaults"
	}
	return strings.Join(options, ",")
}

// fstabPortion are the lines about a mount point, as they are.
func fstabPortion(point string) portion {
	return portion{mine: func(line string) (string, bool) {
		e, ok := parseFstab(line)
		return line, ok && e.point == point
	}}
}

// fstabLine is the only line of a text about a mount point, None without one.
func fstabLine(text, point string) (step.Attr[string], error) {
	line := fstabPortion(point).value(text)
	if strings.Contains(line.Or(""), "\n") {
		return line, fmt.Errorf("%s has several lines for it; remove all but one", fstabPath)
	}
	return line, nil
}
