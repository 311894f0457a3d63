package cli

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"
)

// The environment variables about profiles: the one to use, and their file.
const (
	ProfileEnv = "OTTLA_PROFILE"
	ConfigEnv  = "OTTLA_CONFIG"
)

// profiles is the file of profiles: client settings by name, one of them current.
type profiles struct {
	Current  string                `yaml:"current,omitempty"`
	Previous string                `yaml:"previous,omitempty"`
	Profiles map[string]properties `yaml:"profiles"`
}

// shownProfile is a profile as commands print it.
type shownProfile struct {
	Name     string     `json:"name"`
	Current  bool       `json:"current"`
	Settings properties `json:"settings"`
}

func (a *App) profile() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "profile",
		Short: "Save client settings under a name and select the one to use",
		Long: "A profile is a named set of client settings. Commands use the profile of --profile or\n" +
			"$" + ProfileEnv + ", else the current one. Priority, highest first: -b, -X, -F, --profile or $" + ProfileEnv + ",\n" +
			"$" + BootstrapEnv + ", the current profile, " + defaultBootstrap + ".\n\n" +
			"Profiles are stored in $" + ConfigEnv + ", else in ottla/profiles.yaml of the user's configuration folder\n" +
			"($XDG_CONFIG_HOME, else ~/.config).",
		Args: usageArgs(cobra.NoArgs),
		RunE: needCommand,
		Example: example(`
ottla profile create staging -b kafka1.staging:9092,kafka2.staging:9092
ottla profile use staging
ottla topic list
ottla topic list --profile local`),
	}
	cmd.AddCommand(a.profileList(), a.profileShow(), a.profileCreate(), a.profileUse(), a.profileDelete())
	return cmd
}

// profilesFile is where profiles are kept; empty when there is no place.
func (a *App) profilesFile() string {
	if file := a.lookupEnv(ConfigEnv); file != "" {
		return file
	}
	folder := a.lookupEnv("XDG_CONFIG_HOME")
	if home := a.lookupEnv("HOME"); folder == "" && home != "" {
		folder = filepath.Join(home, ".config")
	}
	if folder == "" {
		folder = a.lookupEnv("APPDATA") // on Windows
	}
	if folder == "" {
		return ""
	}
	return filepath.Join(folder, "ottla", "profiles.yaml")
}

// loadProfiles reads the file; one that is missing has none.
func (a *App) loadProfiles() (*profiles, error) {
	all := &profiles{Profiles: map[string]properties{}}
	file := a.profilesFile()
	if file == "" {
		return all, nil
	}
	content, err := a.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return all, nil
	}
	if err != nil {
		return nil, usage(err)
	}
	if err := yaml.Unmarshal(content, all); err != nil {
		return nil, usagef("%s: %w", file, err)
	}
	if all.Profiles == nil {
		all.Profiles = map[string]properties{}
	}
	return all, nil
}

func (a *App) saveProfiles(all *profiles) error {
	file := a.profilesFile()
	if file == "" || a.WriteFile == nil {
		return usagef("no location for profiles: set $%s to a file", ConfigEnv)
	}
	content, err := yaml.Marshal(all)
	if err != nil {
		return err
	}
	return a.WriteFile(file, content)
}

// find returns a profile by its name.
func (p *profiles) find(name string) (properties, error) {
	if found, ok := p.Profiles[name]; ok {
		return found, nil
	}
	near := nearest(name, slices.Collect(maps.Keys(p.Profiles)))
	if near != "" {
		return nil, usagef("there is no profile %s; did you mean %s?", name, near)
	}
	return nil, usagef("there is no profile %s", name)
}

// profileSettings are those of the profile that a command uses; chosen tells that
// the user named it for this command, and it is not just the current one.
func (l *link) profileSettings() (settings properties, chosen bool, err error) {
	all, err := l.app.loadProfiles()
	if err != nil {
		return nil, false, err
	}
	name := l.profile
	if name == "" {
		name = l.app.lookupEnv(ProfileEnv)
	}
	if name == "" {
		return all.Profiles[all.Current], false, nil
	}
	settings, err = all.find(name)
	return settings, true, err
}

func (a *App) profileList() *cobra.Command {
	return &cobra.Command{
		Use:     "list",
		Aliases: []string{"ls"},
		Short:   "List the profiles",
		Args:    usageArgs(cobra.NoArgs),
		Example: example("ottla profile list"),
		RunE: func(*cobra.Command, []string) error {
			all, err := a.loadProfiles()
			if err != nil {
				return err
			}
			shown := []shownProfile{}
			for _, name := range slices.Sorted(maps.Keys(all.Profiles)) {
				shown = append(shown, shownProfile{name, name == all.Current, all.Profiles[name]})
			}
			result := struct {
				Profiles []shownProfile `json:"profiles"`
			}{shown}
			return a.Print(result, func(w io.Writer) {
				table := newTable("", "NAME", "SERVERS")
				for _, p := range shown {
					mark := ""
					if p.Current {
						mark = "*"
					}
					table.row(mark, p.Name, p.Settings["bootstrap.servers"])
				}
				table.write(w)
			})
		},
	}
}

func (a *App) profileShow() *cobra.Command {
	return &cobra.Command{
		Use:               "show [NAME]",
		Short:             "Show the settings of a profile (default: the current one)",
		Args:              usageArgs(cobra.MaximumNArgs(1)),
		ValidArgsFunction: a.completeProfiles,
		Example:           example("ottla profile show staging"),
		RunE: func(_ *cobra.Command, args []string) error {
			all, err := a.loadProfiles()
			if err != nil {
				return err
			}
			name := all.Current
			if len(args) == 1 {
				name = args[0]
			}
			if name == "" {
				return usagef("no profile is in use")
			}
			settings, err := all.find(name)
			if err != nil {
				return err
			}
			return a.Print(shownProfile{name, name == all.Current, settings}, func(w io.Writer) {
				for _, line := range configLines(settings) {
					fmt.Fprintln(w, line)
				}
			})
		},
	}
}

func (a *App) profileCreate() *cobra.Command {
	l := &link{app: a}
	cmd := &cobra.Command{
		Use:     "create NAME",
		Short:   "Create a profile, or replace one",
		Args:    usageArgs(cobra.ExactArgs(1)),
		Example: example("ottla profile create staging -b kafka1.staging:9092 -X client.rack=b"),
		RunE: func(_ *cobra.Command, args []string) error {
			if strings.TrimSpace(args[0]) == "" || args[0] == previousProfile {
				return usagef("%q is not a valid profile name", args[0])
			}
			settings, err := l.given()
			if err != nil {
				return err
			}
			if l.servers != "" {
				settings["bootstrap.servers"] = l.servers
			}
			if len(settings) == 0 {
				return usagef("nothing to save: give -b, -X or -F")
			}
			all, err := a.loadProfiles()
			if err != nil {
				return err
			}
			all.Profiles[args[0]] = settings
			if all.Current == "" {
				all.Current = args[0]
			}
			return a.changed(all, args[0], "created")
		},
	}
	f := cmd.Flags()
	f.StringVarP(&l.servers, "bootstrap-server", "b", "", "`host:port`,… to begin with")
	f.StringArrayVarP(&l.properties, "property", "X", nil, "client setting `name=value` (repeatable)")
	f.StringVarP(&l.file, "command-config", "F", "", "`file` of client settings to take over")
	return cmd
}

// previousProfile stands for the profile that was current before.
const previousProfile = "-"

func (a *App) profileUse() *cobra.Command {
	return &cobra.Command{
		Use:               "use NAME|-",
		Short:             "Make a profile the current one; - is the previous one",
		Args:              usageArgs(cobra.ExactArgs(1)),
		ValidArgsFunction: a.completeProfiles,
		Example:           example("ottla profile use staging\nottla profile use -"),
		RunE: func(_ *cobra.Command, args []string) error {
			all, err := a.loadProfiles()
			if err != nil {
				return err
			}
			name := args[0]
			if name == previousProfile {
				if name = all.Previous; name == "" {
					return usagef("there is no profile before the current one")
				}
			}
			if _, err := all.find(name); err != nil {
				return err
			}
			if name != all.Current {
				all.Previous, all.Current = all.Current, name
			}
			return a.changed(all, name, "using")
		},
	}
}

func (a *App) profileDelete() *cobra.Command {
	return &cobra.Command{
		Use:               "delete NAME",
		Aliases:           []string{"rm"},
		Short:             "Delete a profile",
		Args:              usageArgs(cobra.ExactArgs(1)),
		ValidArgsFunction: a.completeProfiles,
		Example:           example("ottla profile delete staging"),
		RunE: func(_ *cobra.Command, args []string) error {
			all, err := a.loadProfiles()
			if err != nil {
				return err
			}
			if _, err := all.find(args[0]); err != nil {
				return err
			}
			delete(all.Profiles, args[0])
			for _, name := range []*string{&all.Current, &all.Previous} {
				if *name == args[0] {
					*name = ""
				}
			}
			return a.changed(all, args[0], "deleted")
		},
	}
}

// changed writes the file and tells what was done to which profile.
func (a *App) changed(all *profiles, name, what string) error {
	if err := a.saveProfiles(all); err != nil {
		return err
	}
	result := struct {
		Profile string `json:"profile"`
		Current string `json:"current"`
	}{name, all.Current}
	return a.Print(result, func(w io.Writer) { fmt.Fprintf(w, "%s %s\n", what, name) })
}

func (a *App) completeProfiles(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
	all, err := a.loadProfiles()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return slices.Sorted(maps.Keys(all.Profiles)), cobra.ShellCompDirectiveNoFileComp
}
