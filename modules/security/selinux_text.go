package security

import "strings"

// shellValue is what a file like /etc/selinux/config sets a variable to: the last
// line counts.
func shellValue(text, name string) string {
	value := ""
	for line := range strings.Lines(text) {
		if v, ok := strings.CutPrefix(strings.TrimSpace(line), name+"="); ok {
			value = strings.Trim(strings.TrimSpace(v), `"'`)
		}
	}
	return value
}

// setShellValue changes that line, or adds one.
func setShellValue(text, name, value string) string {
	var b strings.Builder
	done := false
	for line := range strings.Lines(text) {
		if strings.HasPrefix(strings.TrimSpace(line), name+"=") {
			line = name + "=" + value + line[len(strings.TrimRight(line, "\n")):]
			done = true
		}
		b.WriteString(line)
	}
	if !done {
		if text != "" && !strings.HasSuffix(text, "\n") {
			b.WriteByte('\n')
		}
		b.WriteString(name + "=" + value + "\n")
	}
	return b.String()
}

// parseBooleans reads booleans.local: "virt_use_nfs=1".
func parseBooleans(text string) map[string]string {
	kept := map[string]string{}
	for line := range strings.Lines(text) {
		name, value, ok := strings.Cut(strings.TrimSpace(line), "=")
		name, value = strings.TrimSpace(name), strings.TrimSpace(value)
		if ok && booleanShape.MatchString(name) {
			kept[name] = onOff(value == "1" || value == "true" || value == "on")
		}
	}
	return kept
}

// typeOf is the type in a context: user:role:type:range.
func typeOf(context string) string {
	f := strings.SplitN(context, ":", 4)
	if len(f) < 3 {
		return ""
	}
	return f[2]
}

// parseContexts reads file_contexts.local: "EXPRESSION [--|-d|…] CONTEXT". Those of
// one kind of file are not what the step is about. The last line counts.
func parseContexts(text string) map[string]string {
	found := map[string]string{}
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) == 2 && strings.HasPrefix(f[0], "/") && typeOf(f[1]) != "" {
			found[f[0]] = typeOf(f[1])
		}
	}
	return found
}

// parsePorts reads ports.local: "portcon tcp 6641 CONTEXT", with a range as 1-9 or
// "1 - 9".
func parsePorts(text string) map[string]string {
	found := map[string]string{}
	for line := range strings.Lines(text) {
		f := strings.Fields(strings.ReplaceAll(line, " - ", "-"))
		if len(f) == 4 && f[0] == "portcon" && typeOf(f[3]) != "" {
			found[f[2]+"/"+f[1]] = typeOf(f[3])
		}
	}
	return found
}
