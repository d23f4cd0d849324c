package machine

import (
	"context"
	"maps"
	"slices"
	"strconv"
	"strings"

	"weft/engine/host"
	"weft/engine/step"
)

// modprobeDirs and modulesLoadDirs are where modprobe.d(5) and modules-load.d(5)
// look, first hit first.
var (
	modprobeDirs    = [...]string{"/etc/modprobe.d", "/run/modprobe.d", "/usr/local/lib/modprobe.d", "/usr/lib/modprobe.d"}
	modulesLoadDirs = [...]string{"/etc/modules-load.d", "/run/modules-load.d", "/usr/local/lib/modules-load.d", "/usr/lib/modules-load.d"}
)

const (
	modulesLoadHeader = "# Written by weft; modules-load.d(5)."
	modprobeHeader    = "# Written by weft; modprobe.d(5)."
)

// A modprobeLine is a line of modprobe.d(5) about one module.
type modprobeLine struct {
	verb   string // options, blacklist, install
	module string // with _
	rest   string
}

// parseModprobe reads one line, continuations joined; ok is false for comments
// and for lines about something else.
func parseModprobe(line string) (l modprobeLine, ok bool) {
	f := strings.Fields(strings.ReplaceAll(line, "\\\n", " "))
	if len(f) < 2 || !slices.Contains([]string{"options", "blacklist", "install"}, f[0]) {
		return l, false
	}
	return modprobeLine{verb: f[0], module: underscored(f[1]), rest: strings.Join(f[2:], " ")}, true
}

// modprobeLines splits a text at the newlines that no backslash hides.
func modprobeLines(text string) []string {
	var lines []string
	held := ""
	for line := range strings.SplitSeq(strings.TrimSuffix(text, "\n"), "\n") {
		if strings.HasSuffix(line, "\\") {
			held += line + "\n"
			continue
		}
		lines = append(lines, held+line)
		held = ""
	}
	if held != "" {
		lines = append(lines, held) // an empty line will end it
	}
	return lines
}

// parseOptions reads key=value words; a value between double quotes may hold
// blanks.
func parseOptions(text string) map[string]string {
	options := map[string]string{}
	quoted := false
	words := strings.FieldsFunc(text, func(r rune) bool {
		if r == '"' {
			quoted = !quoted
		}
		return r == ' ' && !quoted
	})
	for _, w := range words {
		key, value, _ := strings.Cut(w, "=")
		if key = underscored(strings.ReplaceAll(key, `"`, "")); key != "" {
			options[key] = strings.ReplaceAll(value, `"`, "")
		}
	}
	return options
}

// moduleRules is what files say of a module.
type moduleRules struct {
	options   map[string]string
	blacklist bool // devices do not load it
	barred    bool // nothing does
}

func (r moduleRules) equal(o moduleRules) bool {
	return r.blacklist == o.blacklist && r.barred == o.barred && maps.Equal(r.options, o.options)
}

// rulesIn are what a text says of a module; later lines win.
func rulesIn(text, module string) moduleRules {
	r := moduleRules{options: map[string]string{}}
	for _, line := range modprobeLines(text) {
		l, ok := parseModprobe(line)
		if !ok || l.module != module {
			continue
		}
		switch program, _, _ := strings.Cut(l.rest, " "); {
		case l.verb == "options":
			maps.Copy(r.options, parseOptions(l.rest))
		case l.verb == "blacklist":
			r.blacklist = true
		case strings.HasSuffix(program, "/false") || strings.HasSuffix(program, "/true") || program == ":":
			r.barred = true
		}
	}
	return r
}

// lines are the rules as modprobe.d(5) has them.
func (r moduleRules) lines(module string) step.Attr[string] {
	var lines []string
	if r.blacklist {
		lines = append(lines, "blacklist "+module)
	}
	if r.barred {
		lines = append(lines, "install "+module+" /bin/false")
	}
	if len(r.options) > 0 {
		line := "options " + module
		for _, key := range slices.Sorted(maps.Keys(r.options)) {
			line += " " + key
			if value := r.options[key]; strings.Contains(value, " ") {
				line += `="` + value + `"`
			} else if value != "" {
				line += "=" + value
			}
		}
		lines = append(lines, line)
	}
	if len(lines) == 0 {
		return step.None[string]()
	}
	return step.Is(strings.Join(lines, "\n"))
}

// rulesPortion are the lines of modprobe.d(5) about a module.
func rulesPortion(module string) portion {
	return portion{
		header: modprobeHeader,
		lines:  modprobeLines,
		mine: func(line string) (string, bool) {
			l, ok := parseModprobe(line)
			return line, ok && l.module == module
		},
	}
}

// loadPortion is the line of modules-load.d(5) that names a module.
func loadPortion(module string) portion {
	return portion{
		header: modulesLoadHeader,
		mine: func(line string) (string, bool) {
			return module, underscored(strings.TrimSpace(line)) == module
		},
	}
}

// namedForBoot are the files that have a module loaded at boot. Debian's
// /etc/modules is one of them, and is linked from modules-load.d.
func namedForBoot(ctx context.Context, v host.View, module string) ([]string, error) {
	files, err := confFiles(ctx, v, modulesLoadDirs[:]...)
	if err != nil {
		return nil, err
	}
	if text, err := readText(ctx, v, "/etc/modules"); err != nil {
		return nil, err
	} else if t, ok := text.Get(); ok {
		files = append(files, confFile{"/etc/modules", t})
	}
	var names []string
	for _, f := range files {
		if loadPortion(module).value(f.text) == step.Is(module) {
			names = append(names, f.path)
		}
	}
	return names, nil
}

// sameValue says whether the kernel's spelling of a parameter in force is the
// value that was asked for: Y and N stand for all that kstrtobool takes, and
// numbers have several notations.
func sameValue(inForce, asked string) bool {
	if inForce == asked {
		return true
	}
	switch inForce {
	case "Y":
		return slices.Contains([]string{"", "1", "y", "t", "T", "on", "On", "ON"}, asked)
	case "N":
		return slices.Contains([]string{"0", "n", "f", "F", "off", "Off", "OFF"}, asked)
	}
	a, err := strconv.ParseInt(inForce, 0, 64)
	b, err2 := strconv.ParseInt(asked, 0, 64)
	return err == nil && err2 == nil && a == b
}
