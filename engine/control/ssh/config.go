package ssh

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// maxInclude is how deep Include may nest, as in OpenSSH (READCONF_MAX_DEPTH).
const maxInclude = 16

// A directive is one line of an ssh_config file.
type directive struct {
	keyword string // lower case
	args    []string
	file    string
	line    int
	order   int // among those that apply to a target
	// included are the files of an Include, parsed. They apply only where
	// the Include itself does.
	included [][]directive
}

func (d directive) at() string { return fmt.Sprintf("%s:%d", d.file, d.line) }

// readConfig parses a file and what it includes. Relative includes are looked
// up in base, "~" is home.
func readConfig(path, base, home string, depth int) ([]directive, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	if depth > maxInclude {
		return nil, fmt.Errorf("%s: Include nests deeper than %d files; does a file include itself?", path, maxInclude)
	}
	directives, err := parseConfig(string(b), path)
	if err != nil {
		return nil, err
	}
	for i, d := range directives {
		if d.keyword != "include" {
			continue
		}
		for _, arg := range d.args {
			paths, err := filepath.Glob(absolute(expandHome(arg, home), base))
			if err != nil {
				return nil, fmt.Errorf("%s: Include %q: %w", d.at(), arg, err)
			}
			for _, p := range paths {
				inner, err := readConfig(p, base, home, depth+1)
				if errors.Is(err, fs.ErrNotExist) {
					continue
				}
				if err != nil {
					return nil, err
				}
				directives[i].included = append(directives[i].included, inner)
			}
		}
	}
	return directives, nil
}

// parseConfig reads the lines of one file: a keyword, white space or one "=",
// arguments that may be quoted; see ssh_config(5).
func parseConfig(text, file string) ([]directive, error) {
	var out []directive
	for i, line := range strings.Split(text, "\n") {
		words, err := splitWords(line)
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %w", file, i+1, err)
		}
		if len(words) == 0 {
			continue
		}
		if len(words) == 1 {
			return nil, fmt.Errorf("%s:%d: %s wants an argument", file, i+1, words[0])
		}
		out = append(out, directive{
			keyword: strings.ToLower(words[0]),
			args:    words[1:],
			file:    file,
			line:    i + 1,
		})
	}
	return out, nil
}

// splitWords splits a line into its keyword and arguments. A "#" that begins a
// word begins a comment. The first "=" after the keyword is a separator.
func splitWords(line string) ([]string, error) {
	const space = " \t\r\f\v"
	var words []string
	rest := strings.TrimLeft(line, space)
	for rest != "" && rest[0] != '#' {
		if len(words) == 1 && rest[0] == '=' {
			rest = strings.TrimLeft(rest[1:], space)
			if rest == "" || rest[0] == '#' {
				break
			}
		}
		word, after, err := nextWord(rest, len(words) == 0)
		if err != nil {
			return nil, err
		}
		words = append(words, word)
		rest = strings.TrimLeft(after, space)
	}
	return words, nil
}

// nextWord takes one word off a line that does not begin with white space. The
// keyword ends at "=" too. Within double quotes, and before a quote or a
// backslash, a backslash quotes.
func nextWord(s string, keyword bool) (word, rest string, err error) {
	var b strings.Builder
	quote := byte(0)
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case c == '\\' && i+1 < len(s) && strings.IndexByte(`"'\`, s[i+1]) >= 0:
			i++
			b.WriteByte(s[i])
		case quote != 0 && c == quote:
			quote = 0
		case quote != 0:
			b.WriteByte(c)
		case c == '"' || c == '\'':
			quote = c
		case strings.IndexByte(" \t\r\f\v", c) >= 0, keyword && c == '=':
			return b.String(), s[i:], nil
		default:
			b.WriteByte(c)
		}
	}
	if quote != 0 {
		return "", "", fmt.Errorf("a quote is not closed")
	}
	return b.String(), "", nil
}

func expandHome(path, home string) string {
	if path == "~" || strings.HasPrefix(path, "~/") {
		return home + path[1:]
	}
	return path
}

func absolute(path, base string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(base, path)
}
