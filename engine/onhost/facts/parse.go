package facts

import "strings"

// parseRelease reads os-release(5): lines of NAME=VALUE, the value quoted as a
// shell would.
func parseRelease(text string) map[string]string {
	values := map[string]string{}
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		name, value, ok := strings.Cut(line, "=")
		if !ok || strings.HasPrefix(line, "#") || name == "" {
			continue
		}
		values[name] = unquote(value)
	}
	return values
}

// unquote takes the quotes off a shell word. Within single quotes all is
// literal; else a backslash takes the next character as it is.
func unquote(word string) string {
	if n := len(word); n >= 2 && word[0] == '\'' && word[n-1] == '\'' {
		return word[1 : n-1]
	}
	if n := len(word); n >= 2 && word[0] == '"' && word[n-1] == '"' {
		word = word[1 : n-1]
	}
	if !strings.Contains(word, `\`) {
		return word
	}
	var b strings.Builder
	for i := 0; i < len(word); i++ {
		if word[i] == '\\' && i+1 < len(word) {
			i++
		}
		b.WriteByte(word[i])
	}
	return b.String()
}

// packages reads dpkg's status file (deb822(5)) and returns the version of
// each package that is installed. Where one is installed for several
// architectures, dpkg holds them to the same version.
func packages(status string) map[string]string {
	if status == "" {
		return nil
	}
	all := map[string]string{}
	var name, version string
	installed := false
	flush := func() {
		if installed && name != "" {
			all[name] = version
		}
		name, version, installed = "", "", false
	}
	for line := range strings.Lines(status) {
		line = strings.TrimRight(line, "\r\n")
		if line == "" {
			flush()
			continue
		}
		switch field, value, _ := strings.Cut(line, ":"); field {
		case "Package":
			name = strings.TrimSpace(value)
		case "Version":
			version = strings.TrimSpace(value)
		case "Status": // "install ok installed": wanted, error flag, state
			f := strings.Fields(value)
			installed = len(f) == 3 && f[2] == "installed"
		}
	}
	flush()
	return all
}
