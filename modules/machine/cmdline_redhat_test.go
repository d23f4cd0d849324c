package machine

import (
	"strings"
	"testing"

	"weft/engine/host"
	"weft/engine/host/fake"
	"weft/engine/host/trial"
	"weft/engine/step"
)

const (
	redhatDefaults = "GRUB_DEFAULT=saved\nGRUB_CMDLINE_LINUX=\"crashkernel=auto rhgb quiet\"\nGRUB_ENABLE_BLSCFG=true\n"
	redhatHeader   = "if [ \"${next_entry}\" ] ; then\n   set default=\"${next_entry}\"\n   set next_entry=\n   save_env next_entry\nelse\n   set default=\"${saved_entry}\"\nfi\n"
	redhatEntry    = "title Linux\nversion 5.14\nlinux /vmlinuz-5.14\ninitrd /initramfs-5.14.img $tuned_initrd\noptions root=/dev/sda2 ro rhgb quiet hugepages=2 $tuned_params\ngrub_class kernel\n"
	rescueEntry    = "title Rescue\nlinux /vmlinuz-0-rescue\noptions root=/dev/sda2 ro quiet\n"
)

// redhat is a machine of the other family, with its files and what of its
// programs touches them. It boots nothing: the tests say what it runs with.
func redhat(config string, files map[string]string) *fake.Machine {
	m := fake.New()
	m.Mkdir("/var/lib/weft")
	m.SetKernel("/proc/cmdline", "BOOT_IMAGE=(hd0,gpt2)/vmlinuz-5.14 root=/dev/sda2 ro rhgb quiet hugepages=2")
	m.SetKernel("/proc/self/mountinfo", "22 1 8:1 / / rw - xfs /dev/sda2 rw\n")
	m.SetKernel("/proc/sys/kernel/random/boot_id", "0ne")
	m.WriteFile("/etc/default/grub", redhatDefaults)
	m.WriteFile(config, redhatHeader+"blscfg\n")
	for name, text := range files {
		m.WriteFile(name, text)
	}
	env := strings.TrimSuffix(config, "grub.cfg") + "grubenv"
	edit := func(m *fake.Machine, change func(map[string]string)) {
		values := map[string]string{}
		if text, ok := m.File(env); ok {
			values, _ = readEnv([]byte(text))
		}
		change(values)
		text := envHeader
		for _, name := range []string{"kernelopts", "next_entry", "saved_entry"} {
			if value, ok := values[name]; ok {
				text += name + "=" + value + "\n"
			}
		}
		m.WriteFile(env, text+strings.Repeat("#", envSize-len(text)))
	}
	m.Program("grub2-reboot", func(m *fake.Machine, c host.Command) host.Result {
		edit(m, func(v map[string]string) { v["next_entry"] = c.Argv[1] })
		return host.Result{}
	})
	m.Program("grub2-editenv", func(m *fake.Machine, c host.Command) host.Result {
		edit(m, func(v map[string]string) {
			name, value, set := strings.Cut(c.Argv[3], "=")
			if delete(v, name); set {
				v[name] = value
			}
		})
		return host.Result{}
	})
	m.Program("grub2-mkconfig", func(m *fake.Machine, c host.Command) host.Result {
		text, _ := m.File("/etc/default/grub")
		value, _, _ := evaluated([]store{{Path: "x", Text: text, Format: shellVariables}})
		m.WriteFile(c.Argv[2], redhatHeader+"menuentry 'Linux' --id a {\n linux16 /vmlinuz-5.14 root=/dev/sda2 ro "+value[everyEntry]+"\n}\nsource ${config_directory}/custom.cfg\n")
		return host.Result{}
	})
	return m
}

// tryRedHat tries arguments and keeps them, and returns the trial's options.
func tryRedHat(t *testing.T, m *fake.Machine, d *drive, look func() string) string {
	t.Helper()
	d.apply()
	if s, err := trial.Load(t.Context(), m.Host().View()); err != nil || !s.Has("kernel_cmdline.a") {
		t.Fatalf("no trial: %v", err)
	}
	tried := look()
	line, _ := m.KernelValue("/proc/cmdline")
	m.SetKernel("/proc/cmdline", strings.Replace(line, " quiet hugepages=2", " hugepages=16 "+strings.Join(trial.Arguments("0ne"), " "), 1))
	m.SetKernel("/proc/sys/kernel/random/boot_id", "7wo")
	if err := d.keep(); err != nil {
		t.Fatal(err)
	}
	d.converged()
	return tried
}

// TestRedHat edits the files of three generations: entries with their options,
// entries that refer to kernelopts, and none.
func TestRedHat(t *testing.T) {
	const (
		nine, el8 = "/boot/loader/entries/m-5.14.conf", "/boot/efi/EFI/redhat/grub.cfg"
		rescue    = "/boot/loader/entries/m-0-rescue.conf"
		trialConf = "/boot/loader/entries/weft-trial.conf"
		added     = "hugepages=16 weft.trial=0ne panic=30 softlockup_panic=1 systemd.watchdog_sec=60 rd.shell=0 rd.emergency=reboot"
	)
	opts := envHeader + "kernelopts=root=/dev/sda2 ro rhgb quiet hugepages=2\n"
	opts += strings.Repeat("#", envSize-len(opts))
	mkconfig := redhat("/boot/grub2/grub.cfg", nil)
	mkconfig.WriteFile("/etc/default/grub", "GRUB_CMDLINE_LINUX=\"rhgb quiet hugepages=2\"\n")
	if _, err := mkconfig.Host().Commands.Run(t.Context(), host.Command{Argv: []string{"grub2-mkconfig", "-o", "/boot/grub2/grub.cfg"}}); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		m     *fake.Machine
		trial string // file of the trial's entry
		want  string // in it
		after map[string]string
	}{
		"BLS, BIOS": {
			m:     redhat("/boot/grub2/grub.cfg", map[string]string{nine: redhatEntry, rescue: rescueEntry, "/etc/kernel/cmdline": "root=/dev/sda2 ro rhgb quiet\n"}),
			trial: trialConf, want: "options root=/dev/sda2 ro rhgb $tuned_params " + added + "\n",
			after: map[string]string{
				nine: "options root=/dev/sda2 ro rhgb $tuned_params hugepages=16\n", rescue: rescueEntry,
				"/etc/kernel/cmdline": "root=/dev/sda2 ro rhgb hugepages=16\n", "/etc/default/grub": "\"crashkernel=auto rhgb hugepages=16\"",
			},
		},
		"kernelopts, UEFI with a stub beside it": {
			m: redhat(el8, map[string]string{
				nine: strings.Replace(redhatEntry, "root=/dev/sda2 ro rhgb quiet hugepages=2", "$kernelopts", 1), "/boot/efi/EFI/redhat/grubenv": opts,
				"/boot/efi/EFI/BOOT/grub.cfg": "configfile $prefix/grub.cfg\n",
			}),
			trial: trialConf, want: "options root=/dev/sda2 ro rhgb $tuned_params " + added + "\n",
			after: map[string]string{
				nine: "options $kernelopts $tuned_params\n", "/boot/efi/EFI/redhat/grubenv": "kernelopts=root=/dev/sda2 ro rhgb hugepages=16\n",
				"/etc/default/grub": "\"crashkernel=auto rhgb hugepages=16\"",
			},
		},
		"grub2-mkconfig": {
			m: mkconfig, trial: "/boot/grub2/custom.cfg", want: " linux16 /vmlinuz-5.14 root=/dev/sda2 ro rhgb " + added + "\n",
			after: map[string]string{"/boot/grub2/grub.cfg": "ro rhgb hugepages=16\n", "/etc/default/grub": "\"rhgb hugepages=16\""},
		},
	} {
		t.Run(name, func(t *testing.T) {
			before := c.m.Clone()
			d := newDrive(t, c.m, "a", step.RebootAuto, CmdlineSpec{Args: []string{"hugepages=16"}, Absent: []string{"quiet"}})
			tried := tryRedHat(t, c.m, d, func() string {
				text, _ := c.m.File(c.trial)
				return text
			})
			if !strings.Contains(tried, c.want) {
				t.Errorf("tried %s\nwant %s", tried, c.want)
			}
			if _, there := c.m.File(c.trial); there {
				t.Error("the trial's entry is still there")
			}
			for name, want := range c.after {
				if text, _ := c.m.File(name); !strings.Contains(text, want) {
					t.Errorf("%s is %q, want %q", name, text, want)
				}
			}
			if err := d.undo(); err != nil {
				t.Fatal(err)
			}
			for name := range c.after {
				was, _ := before.File(name)
				if text, _ := c.m.File(name); text != was {
					t.Errorf("%s is %q, and was %q", name, text, was)
				}
			}
		})
	}
}
