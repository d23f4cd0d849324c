package language

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
)

const sealedPlay = `
variable "token" { sensitive = true }
variable "plain" { default = "p" }
variable "list" {
  type    = list(string)
  default = []
}
variable "words" {
  type      = list(string)
  sensitive = true
  default   = []
}
play "p" {
  hosts = "a"
  step "file" "f" {
    content = "${var.token} ${var.plain} ${join("+", var.list)} ${join("+", var.words)}"
    mode    = "0600"
  }
}
`

// rot is a Decrypt for tests: what follows the first line is turned around.
func rot(path string, src []byte) ([]byte, error) {
	_, text, _ := strings.Cut(string(src), "\n")
	if text == "" {
		return nil, errors.New("no identity opens " + path)
	}
	b := []byte(text)
	slices.Reverse(b)
	return b, nil
}

func sealedText(text string) string {
	b, _ := rot("", []byte("\n"+text))
	return "age-encryption.org/v1\n" + string(b)
}

func TestValuesFromFiles(t *testing.T) {
	files := map[string]string{
		"play.hcl": sealedPlay, "inv.hcl": two, "token": "canary-file\r\n", "two": "a\nb\n", "list": "[\"x\", \"y\"]\n",
		"s.hcl.age": sealedText("token = \"canary-t\"\nplain = \"canary-p\"\n"), "unnamed": sealedText("plain = \"canary-p\"\n"),
	}
	tests := []struct {
		name   string
		in     Inputs
		want   string
		hidden string // the variables that are sensitive
	}{
		{"a value in a file", Inputs{Flags: []string{"token=@token"}}, "canary-file p  ", "token words"},
		{"only the last newline goes", Inputs{Flags: []string{"token=@two"}}, `a\nb p  `, "token words"},
		{"a list in a file", Inputs{Flags: []string{"token=t", "list=@list"}}, "t p x+y ", "token words"},
		{"an encrypted file", Inputs{Files: []string{"s.hcl.age"}, Decrypt: rot}, "canary-t canary-p  ", "token plain words"},
		{"by how it begins", Inputs{Files: []string{"unnamed"}, Flags: []string{"token=t"}, Decrypt: rot}, "t canary-p  ", "token plain words"},
		{"a flag over an encrypted file", Inputs{Files: []string{"s.hcl.age"}, Flags: []string{"plain=q"}, Decrypt: rot}, "canary-t q  ", "token words"},
		{"an at sign of the environment", Inputs{Environment: func(name string) (string, bool) { return "@token", name == "WEFT_VAR_token" }}, "@token p  ", "token words"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := load(t, files, tt.in)
			units, _ := p.Units(p.Plays[0], "a", Known{})
			if got := string(units[0].Spec); !strings.Contains(got, `"content":"`+tt.want+`"`) {
				t.Errorf("got %s, want %s", got, tt.want)
			}
			var hidden []string
			for _, name := range []string{"token", "plain", "list", "words"} {
				if p.Sensitive(name) {
					hidden = append(hidden, name)
				}
			}
			if strings.Join(hidden, " ") != tt.hidden {
				t.Errorf("sensitive are %v, want %s", hidden, tt.hidden)
			}
			if !slices.Equal(units[0].Secret, []string{"content"}) {
				t.Errorf("secret are %v", units[0].Secret)
			}
			for _, name := range tt.in.Files {
				if strings.Contains(string(p.Insensitive(name, []byte(files[name]))), "canary") || len(p.Insensitive(name, []byte(files[name]))) > 0 {
					t.Errorf("something is left of %s", name)
				}
			}
		})
	}
}

// TestMistakesInSecrets has mistakes in and beside sensitive values: they are
// told, and the values are not.
func TestMistakesInSecrets(t *testing.T) {
	tests := []struct {
		name  string
		files map[string]string
		in    Inputs
		want  string // SUMMARY @FILE:LINE
	}{
		{"syntax of an encrypted file", map[string]string{"s.age": sealedText("\ntoken = \"canary\n")}, Inputs{Files: []string{"s.age"}, Decrypt: rot}, "invalid multi-line string @s.age:2"},
		{"syntax of a file", map[string]string{"s": "token = \"canary\n"}, Inputs{Files: []string{"s"}}, "invalid multi-line string @s:1"},
		{"a name in an encrypted file", map[string]string{"s.age": sealedText("token = canary\n")}, Inputs{Files: []string{"s.age"}, Decrypt: rot}, "a file of variables holds values, not names @s.age:1"},
		{"a block in an encrypted file", map[string]string{"s.age": sealedText("token = \"t\"\nx {\n y = \"canary\"\n}\n")}, Inputs{Files: []string{"s.age"}, Decrypt: rot}, "a file of variables holds name = value alone, no blocks @s.age:2"},
		{"a type in an encrypted file", map[string]string{"s.age": sealedText("token = \"t\"\nlist = \"canary\"\n")}, Inputs{Files: []string{"s.age"}, Decrypt: rot}, `the value of variable "list" from s.age does not fit its type @s.age:2`},
		{"a call in an encrypted file", map[string]string{"s.age": sealedText("token = cidrhost(\"canary\", 1)\n")}, Inputs{Files: []string{"s.age"}, Decrypt: rot}, "cidrhost: error in function call @s.age:1"},
		{"a call in a file", map[string]string{"s": "token = cidrhost(\"canary\", 1)\n"}, Inputs{Files: []string{"s"}}, "cidrhost: error in function call @s:1"},
		{"a type in a file", map[string]string{"s": "token = \"t\"\nwords = \"canary\"\n"}, Inputs{Files: []string{"s"}}, `the value of variable "words" from s does not fit its type @s:2`},
		{"a type in a value's file", map[string]string{"s": "canary[\n"}, Inputs{Flags: []string{"token=t", "words=@s"}}, `the value of variable "words" from s cannot be read @play.hcl:8`},
		{"a file that is not there", nil, Inputs{Flags: []string{"token=@none"}}, `cannot read the value of variable "token": open none: no such file or directory @:0`},
		{"nobody decrypts", map[string]string{"s.age": sealedText("token = \"canary\"\n")}, Inputs{Files: []string{"s.age"}, Flags: []string{"token=t"}}, "cannot read the file of variables: s.age is encrypted @:0"},
		{"others decrypt", map[string]string{"s.age": "age-encryption.org/v1"}, Inputs{Files: []string{"s.age"}, Flags: []string{"token=t"}, Decrypt: rot}, "cannot read the file of variables: no identity opens s.age @:0"},
		{"an encrypted inventory", map[string]string{"inv.hcl": sealedText("canary {}")}, Inputs{Flags: []string{"token=t"}, Decrypt: rot}, "inv.hcl is encrypted, and only a file of variables can be @:0"},
		{"an encrypted include", map[string]string{"play.hcl": "include = [\"s.age\"]\n" + sealedPlay, "s.age": "variable {}"}, Inputs{Flags: []string{"token=t"}, Decrypt: rot}, "s.age is encrypted, and only a file of variables can be @play.hcl:1"},
		{"a default", map[string]string{"play.hcl": strings.Replace(sealedPlay, "sensitive = true\n  default   = []", "sensitive = true\n  default   = \"canary\"", 1)}, Inputs{Flags: []string{"token=t"}}, `the default of variable "words" does not fit its type @play.hcl:11`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			files := map[string]string{"play.hcl": sealedPlay, "inv.hcl": two}
			for name, text := range tt.files {
				files[name] = text
			}
			_, ds := tryLoad(files, tt.in)
			text := plainText(ds)
			at := func(d Diagnostic) string { return fmt.Sprintf("%s @%s:%d", d.Summary, d.File, d.Range.Start.Line) }
			if !slices.ContainsFunc(ds, func(d Diagnostic) bool { return at(d) == tt.want }) {
				t.Errorf("want %s, got\n%s", tt.want, text)
			}
			if strings.Contains(text, "canary") || strings.Contains(text, "yranac") {
				t.Errorf("a sensitive value is in the text:\n%s", text)
			}
		})
	}
}

// TestHintForASecret: a flag would show it to everybody who lists processes.
func TestHintForASecret(t *testing.T) {
	_, ds := tryLoad(map[string]string{"play.hcl": sealedPlay, "inv.hcl": two}, Inputs{})
	if len(ds) != 1 || !strings.Contains(ds[0].Hint, "--var token=@FILE") || !strings.Contains(ds[0].Hint, "WEFT_VAR_token") {
		t.Errorf("got\n%s", plainText(ds))
	}
}
