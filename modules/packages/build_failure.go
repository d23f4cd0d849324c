package packages

import (
	"fmt"
	"strings"
)

// A buildError says in which phase rpmbuild failed, why, and where its words lie.
type buildError struct {
	phase, line, log string
	err              error
}

func (e *buildError) Error() string {
	hint := ""
	if e.phase == "dependencies" {
		hint = "; builddep = true installs what a repository has of it"
	}
	return fmt.Sprintf("rpmbuild failed in %s: %s (log: %s%s)", e.phase, e.line, e.log, hint)
}

func (e *buildError) Unwrap() error { return e.err }

// failure finds the phase ("Executing(%build): …") and the line that says why.
func failure(text string) (phase, line string) {
	phase = "its preparation"
	var first, last, need string
	for raw := range strings.Lines(text) {
		l := strings.TrimSpace(raw)
		if after, ok := strings.CutPrefix(l, "Executing("); ok {
			if name, _, closed := strings.Cut(after, ")"); closed && name != "" {
				phase, first = name, ""
			}
			continue
		}
		low := strings.ToLower(l)
		switch {
		case l == "" || strings.HasPrefix(l, "+ ") || strings.HasPrefix(low, "rpm build errors") || strings.Contains(l, "Bad exit status from"):
			continue
		case strings.HasSuffix(low, "failed build dependencies:"):
			phase = "dependencies"
			continue
		case phase == "dependencies" && strings.Contains(l, " is needed by ") && need == "":
			need = l
		case first == "" && (strings.Contains(low, "error") || strings.Contains(low, "fatal") || strings.Contains(l, "***")):
			first = l
		}
		last = l
	}
	for _, l := range []string{need, first, last} {
		if l != "" {
			return phase, fmt.Sprintf("%.300s", l)
		}
	}
	return phase, ""
}
