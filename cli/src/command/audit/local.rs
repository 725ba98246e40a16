//! A model in this process, through a stock llama.cpp; the plug-in is loaded when it is needed first, for a profile or to read what
//! is inside, so that answers before it are what the program would be without it.

use evenkeel_ffi::host::Plugin;

use super::{
    arm::Arm,
    neutral::{Cost, Neutral},
    respond::{Respondent, Scored},
    score::{Form, Prepared, score},
};
use crate::{
    failure::Failure,
    neutral::Plain,
    session::{self, Session},
    suite::{Item, Score},
    write::{Draft, write},
};

/// The model.
pub struct Local {
    session: Session,
    sha256: String,
    neutral: Option<Neutral>,
    plugin: Option<Plugin>,
    acting: bool,
    /// Where profiles are put that lie in a folder with others.
    folder: tempfile::TempDir,
}

/// Items that are measured between two writes to the disk.
const PART: usize = 256;

impl Local {
    pub fn new(session: Session, sha256: String) -> Result<Local, Failure> {
        let folder = tempfile::tempdir().map_err(Failure::new)?;
        Ok(Local { session, sha256, neutral: None, plugin: None, acting: false, folder })
    }

    /// The neutral texts.
    pub fn neutral(&mut self, texts: &[Plain], longest: usize) -> Result<(), Failure> {
        self.neutral = Some(Neutral::new(&self.session, texts, longest)?);
        Ok(())
    }

    pub fn session(&self) -> &Session {
        &self.session
    }

    /// The session and the plug-in, whether a profile is in force or not.
    pub fn hooked(&mut self) -> Result<(&Session, &Plugin), Failure> {
        let Local { session, plugin, .. } = self;
        let loaded = match plugin {
            Some(plugin) => plugin,
            none => none.insert(session.plugin()?),
        };
        Ok((session, loaded))
    }

    /// The plug-in, if a profile is in force.
    pub fn plugin(&self) -> Option<&Plugin> {
        self.plugin.as_ref().filter(|_| self.acting)
    }

    fn try_score(&self, form: &Form, items: &[&Item]) -> Result<Vec<Score>, Failure> {
        let (session, plugin) = (&self.session, self.plugin());
        if items.iter().all(|i| i.written().is_none()) {
            let prepared: Vec<Prepared> =
                items.iter().map(|i| form.prepare(&session.model, i)).collect::<Result<_, _>>()?;
            return score(session, plugin, items, &prepared);
        }
        let draft = |item: &&Item| -> Result<Draft, Failure> {
            let prompt = form.prompt(&session.model, &item.prompt)?;
            // Letters are as different as people write them; an answer is what the model would say first.
            let random = matches!(item.role, crate::suite::Role::Letter { .. }).then(|| item.id.clone());
            Ok(Draft { tokens: session.model.tokenize(&prompt, true)?, most: item.written().unwrap_or(0), random })
        };
        let drafts: Vec<Draft> = items.iter().map(draft).collect::<Result<_, _>>()?;
        Ok(write(session, plugin, &drafts)?.into_iter().map(Score::written).collect())
    }
}

impl Respondent for Local {
    fn model(&self) -> String {
        self.session.model.description()
    }

    fn identity(&self) -> String {
        self.sha256.clone()
    }

    fn by(&self) -> String {
        self.session.llama.path().display().to_string()
    }

    fn length(&self, form: &Form, item: &Item) -> Result<Option<usize>, Failure> {
        Ok(Some(form.prepare(&self.session.model, item)?.longest + item.written().unwrap_or(0)))
    }

    fn part(&self) -> usize {
        PART
    }

    fn take_on(&mut self, arm: &Arm) -> Result<(), Failure> {
        self.acting = arm.path().is_some();
        if let Some(path) = arm.path() {
            let path = session::alone(path, self.folder.path())?;
            self.hooked()?.1.load_profile(Some(&path))?;
        }
        Ok(())
    }

    fn put_off(&mut self) -> Result<(), Failure> {
        self.acting = false;
        self.plugin.iter().try_for_each(|plugin| Ok(plugin.load_profile(None)?))
    }

    fn score(&mut self, form: &Form, items: &[&Item]) -> Scored {
        match self.try_score(form, items) {
            Ok(scores) => Scored { scores: scores.into_iter().map(Some).collect(), failure: None },
            Err(failure) => Scored { scores: items.iter().map(|_| None).collect(), failure: Some(failure) },
        }
    }

    fn go_on(&mut self, form: &Form, prompts: &[String], tokens: usize) -> Result<Vec<String>, Failure> {
        let model = &self.session.model;
        let draft = |text: &String| -> Result<Draft, Failure> {
            Ok(Draft { tokens: model.tokenize(&form.prompt(model, text)?, true)?, most: tokens, random: None })
        };
        write(&self.session, self.plugin(), &prompts.iter().map(draft).collect::<Result<Vec<_>, _>>()?)
    }

    fn cost(&mut self, _form: &Form, arm: &str) -> Result<Option<Cost>, Failure> {
        let plugin = self.plugin.as_ref().filter(|_| self.acting);
        let neutral = self.neutral.as_mut().filter(|n| !n.is_empty());
        neutral.map(|n| n.measure(&self.session, plugin, arm)).transpose()
    }
}
